"use strict";
// Shows GET /api/roost/ui, once a second. Text only goes in as text, never as markup.
const $ = (id) => document.getElementById(id);
const KEEP = 180;
const history = [];
let login = false;

const put = (id, text) => { $(id).textContent = text; };
const many = (n, one, more) => `${n} ${n === 1 ? one : more}`;

function span(seconds) {
  if (seconds < 0.9995) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${Math.floor(seconds % 60)} s`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ${Math.floor(seconds % 3600 / 60)} min`;
  return `${Math.floor(seconds / 86400)} d ${Math.floor(seconds % 86400 / 3600)} h`;
}

function bytes(n) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let u = 0;
  while (n >= 1024 && u < units.length - 1) { n /= 1024; u++; }
  return `${n < 10 && u ? n.toFixed(1) : Math.round(n)} ${units[u]}`;
}

function cell(row, text, kind) {
  const td = document.createElement("td");
  td.textContent = text;
  if (kind) td.className = kind;
  row.append(td);
  return td;
}

function pill(row, text, kind) {
  const mark = document.createElement("span");
  mark.className = `pill ${kind}`;
  mark.textContent = text;
  const td = cell(row, "");
  td.append(mark);
  return td;
}

function fill(id, rows, columns, none) {
  const body = $(id);
  if (!rows.length) {
    const row = document.createElement("tr");
    cell(row, none, "none").colSpan = columns;
    rows = [row];
  }
  body.replaceChildren(...rows);
}

function nodeRow(n) {
  const row = document.createElement("tr");
  cell(row, n.id, "mono");
  cell(row, n.role);
  cell(row, `${n.host}:${n.port}`, "mono");
  const [word, kind] = !n.alive ? ["not alive", "bad"] : n.decommissioned ? ["decommissioning", "wait"]
    : n.draining ? ["draining", "wait"] : ["alive", "good"];
  const state = pill(row, word, kind);
  if (n.error) {
    const why = document.createElement("div");
    why.className = "why";
    why.textContent = n.error;
    state.append(why);
  }
  cell(row, n.slots, "num");
  cell(row, n.running, "num");
  cell(row, n.role === "BE" ? n.tablets : "–", "num");
  cell(row, n.mem_limit ? `${bytes(n.mem_used)} of ${bytes(n.mem_limit)}` : "–");
  cell(row, n.version || "–");
  return row;
}

function queryRow(q, shown) {
  const row = document.createElement("tr");
  cell(row, q.id.slice(0, 13), "mono").title = q.id;
  pill(row, q.pending ? "waiting" : "running", q.pending ? "wait" : "run");
  cell(row, span(q.age_ms / 1000), "num");
  cell(row, q.slots, "num");
  cell(row, shown ? q.user : "–");
  cell(row, shown ? q.sql : "–", "mono sql").title = shown ? q.sql : "";
  return row;
}

function draw() {
  const peak = Math.max(4, ...history.map((h) => Math.max(h.run, h.wait)));
  const x = (i) => 900 - (history.length - 1 - i) * 900 / (KEEP - 1);
  const y = (v) => 106 - v * 100 / peak;
  const line = history.map((h, i) => `${i ? "L" : "M"}${x(i)} ${y(h.run)}`).join("");
  const top = history.map((h, i) => `L${x(i)} ${y(h.wait)}`).join("");
  $("run-line").setAttribute("d", line);
  $("wait-area").setAttribute("d", `M${x(0)} 106${top}L900 106Z`);
  put("peak", `scale: ${peak}`);
}

function show(d) {
  const q = d.queue, t = d.totals;
  put("name", d.name);
  put("about", `${d.version} · up ${span((d.now - d.start) / 1000)}`);
  $("state").className = `pill ${d.draining ? "wait" : "good"}`;
  put("state", d.draining ? "shutting down" : "live");
  put("running", q.running);
  put("running-note", `${many(q.slots_be, "BE slot", "BE slots")}`);
  put("pending", q.pending);
  put("pending-note", q.oldest_wait_s > 0 ? `longest for compute nodes: ${span(q.oldest_wait_s)}` : "");
  put("slots", `${q.running_slots_cn} / ${q.slots_cn}`);
  $("slots-bar").style.width = `${q.slots_cn ? Math.min(100, 100 * q.running_slots_cn / q.slots_cn) : 0}%`;
  put("p50", t.p50_s ? span(t.p50_s) : "–");
  put("p95", t.p95_s ? `95 %: ${span(t.p95_s)}` : "half of the queries take less");
  put("queries", t.queries);
  put("errors", many(t.errors, "failed", "failed"));
  put("connections", t.connections);
  put("loads", many(t.loads, "load running", "loads running"));
  const alive = d.nodes.filter((n) => n.alive).length;
  put("node-count", `${alive} of ${d.nodes.length} alive`);
  put("query-count", d.queries.length ? `${d.queries.length}` : "");
  fill("nodes", d.nodes.map(nodeRow), 9, "No backend or compute node has been added yet.");
  fill("running-queries", d.queries.map((one) => queryRow(one, d.sql)), 6, "Nothing is running.");
  $("login").hidden = d.sql;
  history.push({ run: q.running, wait: q.pending });
  if (history.length > KEEP) history.shift();
  draw();
}

async function refresh() {
  try {
    const answer = await fetch(login ? "/api/roost/ui?login=1" : "/api/roost/ui", { cache: "no-store" });
    login = false;
    if (!answer.ok) throw new Error(`HTTP ${answer.status}`);
    show(await answer.json());
  } catch (problem) {
    $("state").className = "pill bad";
    put("state", `no answer: ${problem.message}`);
  }
  setTimeout(refresh, 1000);
}

$("login").addEventListener("click", () => { login = true; });
refresh();
