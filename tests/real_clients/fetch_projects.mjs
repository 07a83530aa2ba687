// Drives the unmodified Procore SDK through a base URL: prints one JSON document of what it saw.
// Arguments: base URL, company id, project id, and the base URL, company id and project id of a
// data source whose rate limit is used up. The API key comes on stdin.
import { readFileSync } from "node:fs";
import procoreSdk from "@procore/js-sdk";

const { client, oauth } = procoreSdk;
const [baseUrl, companyId, projectId, limitedUrl, limitedCompany, limitedProject] =
  process.argv.slice(2);
const secret = readFileSync(0, "utf8").trim();
const seen = {};

// The SDK's own token call posts JSON to {base}/oauth/token.
const token = await procoreSdk.token(
  { id: "any-client", secret, code: "any-code", uri: "urn:ietf:wg:oauth:2.0:oob" },
  baseUrl,
);
seen.token = { type: token.token_type, isKey: token.access_token === secret };

const procore = client(new oauth(token.access_token), {}, {
  apiHostname: baseUrl,
  defaultCompanyId: Number(companyId),
});

seen.me = (await procore.get({ base: "/me" })).body;
seen.project = (
  await procore.get({ base: "/projects", params: { id: Number(projectId) }, qs: { company_id: companyId } })
).body;

const rfis = "/projects/{project_id}/rfis";
const params = { project_id: Number(projectId) };
seen.pages = 0;
seen.rfiIds = [];
seen.foreignLinks = [];
for (let page = 1; ; page += 1) {
  const answer = await procore.get({ base: rfis, params, qs: { page, per_page: 200 } });
  seen.pages += 1;
  seen.rfiIds.push(...answer.body.map((row) => row.id));
  const link = answer.response.headers.get("link") ?? "";
  for (const [, target] of link.matchAll(/<([^>]*)>/g)) {
    if (!target.startsWith(`${baseUrl}/rest/`)) seen.foreignLinks.push(target);
  }
  if (!/rel="next"/.test(link)) break;
}

const created = await procore.post(
  { base: rfis, params },
  { rfi: { subject: "Asked by the SDK", question: { body: "Which door?" }, rfi_manager_id: seen.me.id, assignee_ids: [seen.me.id] } },
);
seen.created = { status: created.response.status, subject: created.body.subject };
const updated = await procore.patch(
  { base: rfis, params: { ...params, id: created.body.id } },
  { rfi: { subject: "Asked again" } },
);
seen.updated = { status: updated.response.status, subject: updated.body.subject };
const refusal = (call) => call.then(() => ({ body: {}, response: { status: 200 } }), (answer) => answer);

const missing = await refusal(procore.get({ base: rfis, params: { ...params, id: 1 } }));
seen.missing = { status: missing.response.status, message: missing.body.message };
const invalid = await refusal(procore.post({ base: rfis, params }, { rfi: { subject: "No question" } }));
seen.invalid = { status: invalid.response.status, fields: Object.keys(invalid.body.errors) };
// Arrays become status[]=…, which must reach Procore as they are.
const open = await procore.get({ base: rfis, params, qs: { filters: { status: ["open"] } } });
seen.open = [...new Set(open.body.map((row) => row.status))];

const punch = { base: "/punch_items", version: "v1.1" };
const item = await procore.post(punch, { project_id: Number(projectId), punch_item: { name: "x" } });
const one = { ...punch, params: { id: item.body.id }, qs: { project_id: projectId } };
const gone = await procore.delete(one);
const left = await refusal(procore.get(one));
seen.deleted = { status: gone.response.status, left: left.response.status };

const task = { base: "/task_items" };
const taskQuery = { project_id: projectId };
const made = await procore.post({ ...task, qs: taskQuery }, { task_item: { title: "x" } });
const ended = await procore.delete({ ...task, params: { id: made.body.id }, qs: taskQuery });
seen.noContent = { status: ended.response.status, body: ended.body };

// A token that has died is renewed by the SDK's own refresher.
const fresh = await procoreSdk.token(
  { id: "any-client", secret, code: "any-code", uri: "urn:ietf:wg:oauth:2.0:oob" },
  baseUrl,
);
const lapsed = new oauth("expired");
const renewing = client(
  procoreSdk.refresher(lapsed, (old) =>
    procoreSdk.refresh(
      { id: "any-client", secret, uri: "", token: old, refresh: fresh.refresh_token },
      baseUrl,
    ),
  ),
  {},
  { apiHostname: baseUrl },
);
seen.renewed = (await renewing.get({ base: "/me" })).response.status;
const living = lapsed.getToken();
seen.secondsLeft = (await procoreSdk.info(living, baseUrl)).expires_in_seconds;
await procoreSdk.revoke({ token: living, clientId: "any-client", clientSecret: secret }, baseUrl);
seen.revoked = (await procoreSdk.info(living, baseUrl)).error;

const stranger = client(new oauth("wrong"), {}, { apiHostname: baseUrl });
seen.wrongKey = (await refusal(stranger.get({ base: "/me" }))).response.status;
const limited = client(new oauth(secret), {}, {
  apiHostname: limitedUrl,
  defaultCompanyId: Number(limitedCompany),
});
const refused = await refusal(
  limited.get({ base: rfis, params: { project_id: Number(limitedProject) } }),
);
seen.limited = {
  status: refused.response.status,
  retryAfter: refused.response.headers.get("retry-after"),
  code: refused.body.code,
};

console.log(JSON.stringify(seen));
