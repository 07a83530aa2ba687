// Reads rows as they come: a row a line, and a last line, an array, that tells how it ended.

export class Refused extends Error {}

// Calls onRows with each batch and returns what the last line tells.
export async function readRows(answer, onRows) {
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let pending = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) break;
    const lines = (pending + value).split("\n");
    pending = lines.pop();
    const rows = [];
    let ending = null;
    for (const line of lines) {
      const told = parsed(line);
      if (Array.isArray(told)) ending = told[0];
      else if (told !== null) rows.push(told);
    }
    if (rows.length) onRows(rows);
    if (ending) return ending;
  }
  return { problem: { message: "The connection to the relay was lost before the last row." } };
}

// What comes before a break may be cut in the middle of a row.
function parsed(line) {
  if (!line) return null;
  try {
    return JSON.parse(line);
  } catch {
    return null;
  }
}

// Why there are no rows at all, in a sentence.
export async function refusal(answer) {
  if (answer.type === "opaqueredirect") {
    return "Your session has ended. Load the page again to sign in.";
  }
  const type = answer.headers.get("Content-Type") ?? "";
  if (type.includes("json")) {
    const told = await answer.json();
    if (typeof told.detail === "string") return told.detail;
  }
  if (answer.status === 403) return "This page is out of date. Load it again, then try once more.";
  return `The relay did not answer as it should (status ${answer.status}). Load the page again.`;
}
