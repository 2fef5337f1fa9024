// Runs the requests of a folder of a Postman collection in order, with as much of Postman as their scripts use.
// node postman.mjs <collection> <folder> <base_url>: prints one line a test, ["ok" | "wrong", request, test, why?]
import { readFileSync } from "node:fs";
import { randomUUID } from "node:crypto";
import vm from "node:vm";

const [file, folder, base] = process.argv.slice(2);
const collection = JSON.parse(readFileSync(file, "utf8"));
const variables = new Map(collection.variable.map((v) => [v.key, v.value]));
variables.set("base_url", base);
const steps = collection.item.find((i) => i.name === folder).item;

const filled = (text) => text.replace(/\{\{(\$?\w+)\}\}/g, (_, name) => {
  if (name === "$guid") return randomUUID();
  if (!variables.has(name)) throw new Error(`there is no variable ${name}`);
  return variables.get(name);
});

async function script(step, on, response) {
  const found = (step.event ?? []).find((e) => e.listen === on);
  let next = null;
  if (!found) return next;
  const timers = [];
  const pm = {
    collectionVariables: { get: (k) => variables.get(k), set: (k, v) => variables.set(k, v) },
    response: response && { code: response.status, text: () => response.text, json: () => JSON.parse(response.text) },
    test: (name, check) => {
      try { check(); console.log(JSON.stringify(["ok", step.name, name])); } catch (e) {
        console.log(JSON.stringify(["wrong", step.name, name, e.message]));
      }
    },
  };
  const postman = { setNextRequest: (name) => { next = name; } };
  const wait = (run, ms) => timers.push(new Promise((done) => setTimeout(() => done(run()), ms)));
  try {
    vm.runInNewContext(`(() => {\n${found.script.exec.join("\n")}\n})()`, { pm, postman, setTimeout: wait });
  } catch (e) {
    console.log(JSON.stringify(["wrong", step.name, on, e.message]));
  }
  await Promise.all(timers);
  return next;
}

for (let at = 0; at < steps.length; at++) {
  const step = steps[at], { method, header, url, body, auth } = step.request;
  await script(step, "prerequest");
  const path = url.path.map((p) => (p.startsWith(":") ? filled(url.variable.find((v) => v.key === p.slice(1)).value) : p)).join("/");
  const query = (url.query ?? []).filter((q) => !q.disabled).map((q) => `${q.key}=${encodeURIComponent(filled(q.value))}`).join("&");
  const headers = Object.fromEntries(header.filter((h) => !h.disabled).map((h) => [h.key, filled(h.value)]));
  if (auth?.type !== "noauth") headers.Authorization = `Bearer ${filled(collection.auth.bearer[0].value)}`;
  const answer = await fetch(`${filled(url.host[0])}/${path}${query && `?${query}`}`, { method, headers, body: body && filled(body.raw) });
  const next = await script(step, "test", { status: answer.status, text: await answer.text() });
  if (next) at = steps.findIndex((s) => s.name === next) - 1;
}
