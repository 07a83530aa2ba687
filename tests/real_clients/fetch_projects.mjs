// Drives the unmodified Procore SDK through a base URL: prints one JSON document of what it saw.
// Arguments: base URL, API key's token file on stdin, company id, project id.
import { readFileSync } from "node:fs";
import procoreSdk from "@procore/js-sdk";

const { client, oauth } = procoreSdk;
const [baseUrl, companyId, projectId] = process.argv.slice(2);
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
seen.missing = await procore
  .get({ base: rfis, params: { ...params, id: 1 } })
  .then(() => 200, (answer) => answer.response.status);

console.log(JSON.stringify(seen));
