// The status page: asks for the figures once a second while somebody looks at it, and draws them.

import { askForKey, hideKeyForm, keyHeaders } from "/ui/key.js";

const POLL_MS = 1000;
const ANSWER_MS = 5000;
const SVG = "http://www.w3.org/2000/svg";

const at = (id) => document.getElementById(id);

// Only what changes is touched: a selection stays, and nothing is read out again.
function put(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

function make(tag, name, text) {
  const node = document.createElement(tag);
  if (name) node.className = name;
  if (text) node.textContent = text;
  return node;
}

// --- figures as words ---

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

function count(number) {
  return whole.format(number);
}

function short(number) {
  if (number >= 1e9) return `${(number / 1e9).toFixed(1)} G`;
  if (number >= 1e6) return `${(number / 1e6).toFixed(1)} M`;
  if (number >= 1e5) return `${(number / 1e3).toFixed(0)} k`;
  return count(number);
}

function rate(number) {
  return number >= 100 || number === 0 ? count(number) : number.toFixed(1);
}

function percent(part, all) {
  if (!all) return "–";
  const share = (100 * part) / all;
  return `${share > 0 && share < 10 ? share.toFixed(1) : share.toFixed(0)} %`;
}

function bytes(number) {
  for (const [unit, size] of [["GB", 1e9], ["MB", 1e6], ["kB", 1e3]])
    if (number >= size) return `${(number / size).toFixed(1)} ${unit}`;
  return number ? `${number} B` : "–";
}

function seconds(number) {
  if (!number) return "–";
  if (number < 100) return `${number.toFixed(1)} s`;
  return number < 6000 ? `${(number / 60).toFixed(0)} min` : `${(number / 3600).toFixed(1)} h`;
}

function age(from, to) {
  const past = Math.max(0, to - from);
  const [days, hours, minutes] = [Math.floor(past / 86400), Math.floor(past / 3600) % 24, Math.floor(past / 60) % 60];
  if (days) return `${days} d ${hours} h`;
  if (hours) return `${hours} h ${minutes} min`;
  return minutes ? `${minutes} min` : `${past} s`;
}

// The time of a day, or the day where that was another one.
function when(unixSeconds, now) {
  const date = new Date(unixSeconds * 1000);
  return now - unixSeconds < 72000 ? date.toLocaleTimeString("en-GB") : date.toLocaleDateString("en-GB", { day: "numeric", month: "short" });
}

const STATES = {
  ok: "good", serving: "good", ready: "good", recovering: "warn", draining: "warn", "re-forming": "warn", unavailable: "bad", lost: "bad",
};

// --- parts of the page ---

function drawLine(id, values, points, least) {
  const svg = at(id);
  const top = Math.max(least, ...values);
  const first = points - values.length;
  const line = values.map((value, i) => `${first + i} ${(28 - (26 * value) / top).toFixed(2)}`).join("L");
  if (!svg.firstChild) for (const name of ["fill", "stroke"]) {
    const path = document.createElementNS(SVG, "path");
    path.setAttribute("class", name);
    svg.append(path);
  }
  const [fill, stroke] = svg.children;
  stroke.setAttribute("d", values.length > 1 ? `M${line}` : "");
  fill.setAttribute("d", values.length > 1 ? `M${first} 30L${line}L${points - 1} 30Z` : "");
}

function mean(values, last) {
  const part = values.slice(-last);
  return part.length ? part.reduce((sum, value) => sum + value, 0) / part.length : 0;
}

function showHead(server) {
  const where = at("where");
  const words = [server.cluster, server.name].filter(Boolean).join(" / ");
  const text = `${server.model ?? ""}${words ? ` at ${words}` : ""}`;
  if (where.textContent !== text) where.replaceChildren(make("b", "", server.model ?? ""), words ? ` at ${words}` : "");
  const word = server.health === "ok" && !server.ready ? "not ready" : server.health === "ok" ? "serving" : server.health;
  const health = at("health");
  put(health, word);
  health.className = `state ${server.health === "ok" && !server.ready ? "warn" : (STATES[server.health] ?? "warn")}`;
  document.title = word === "serving" ? "herd: status" : `${word} – herd: status`;
}

function showTiles(status) {
  const { history, now, replicas } = status;
  const generation = mean(history.generation, 3);
  put(at("generation"), rate(generation));
  put(at("generation-note"), `${rate(mean(history.generation, 60))} over a minute`);
  put(at("prompt"), rate(mean(history.prompt, 3)));
  put(at("prompt-note"), `${rate(mean(history.prompt, 60))} over a minute`);
  const running = replicas.reduce((sum, replica) => sum + replica.running, 0);
  const waiting = replicas.reduce((sum, replica) => sum + replica.waiting, now.waiting);
  put(at("running"), count(running));
  put(at("running-note"), `${count(now.open)} open here`);
  put(at("waiting"), count(waiting));
  put(at("waiting-note"), now.waiting ? `${count(now.waiting_tokens)} tokens at the door` : "none at the door");
  const held = replicas.reduce((sum, replica) => sum + replica.kv.held, 0);
  const cached = replicas.reduce((sum, replica) => sum + replica.kv.cached, 0);
  const blocks = replicas.reduce((sum, replica) => sum + replica.kv.blocks, 0);
  put(at("kv"), blocks ? percent(held, blocks).replace(" %", "") : "0");
  put(at("kv-note"), `${short(cached)} more cached of ${short(blocks)}`);
  const serving = replicas.filter((replica) => replica.state === "serving").length;
  put(at("serving"), `${serving} of ${replicas.length}`);
  const others = replicas.filter((replica) => replica.state !== "serving").map((replica) => replica.state);
  put(at("serving-note"), [...new Set(others)].map((state) => `${others.filter((other) => other === state).length} ${state}`).join(", "));
  for (const [name, least] of [["generation", 1], ["prompt", 1], ["running", 1], ["waiting", 1], ["kv", 0.05]])
    drawLine(`spark-${name}`, history[name], history.points, least);
}

const CELLS = [
  ["State", "text", (replica, cell) => {
    const state = cell.firstChild ?? cell.appendChild(make("span"));
    put(state, replica.state);
    state.className = `state ${STATES[replica.state] ?? "warn"}`;
  }],
  ["Epoch", "", (replica, cell) => {
    put(cell, replica.epoch.length > 8 ? `…${replica.epoch.slice(-6)}` : replica.epoch);
    cell.title = replica.epoch;
  }],
  ["Runs", "", (replica, cell) => put(cell, count(replica.running))],
  ["Waits", "", (replica, cell) => put(cell, count(replica.waiting))],
  ["KV in use", "wide", (replica, cell) => {
    if (!cell.firstChild) {
      const share = make("span", "share");
      const bar = make("span", "bar");
      bar.append(make("span"));
      share.append(bar, make("span", "digits"));
      cell.append(share);
    }
    const [bar, digits] = cell.firstChild.children;
    const used = replica.kv.blocks ? replica.kv.held / replica.kv.blocks : 0;
    bar.firstChild.style.width = `${100 * used}%`;
    bar.classList.toggle("full", used > 0.9);
    put(digits, percent(replica.kv.held, replica.kv.blocks));
    cell.title = `${count(replica.kv.held)} of ${count(replica.kv.blocks)} blocks in use, ${count(replica.kv.cached)} cached`;
  }],
  ["Generated/s", "", (replica, cell) => put(cell, rate(replica.generation))],
  ["Prompts/s", "", (replica, cell) => put(cell, rate(replica.prompt))],
  ["Cache hits", "", (replica, cell) => put(cell, percent(replica.cache.hit_tokens, replica.cache.query_tokens))],
  ["Saved", "", (replica, cell) => put(cell, seconds(replica.cache.saved_seconds))],
  ["Moved in", "", (replica, cell) => put(cell, bytes(replica.moved_in_bytes))],
  ["Steps", "", (replica, cell) => put(cell, short(replica.steps))],
];

// [{name, address, replicas}]: the file's nodes as they stand there, then whatever is on none of them.
function groupsOf(status) {
  const groups = status.nodes.map((node) => ({ ...node, replicas: status.replicas.filter((replica) => replica.node === node.name) }));
  const elsewhere = status.replicas.filter((replica) => !status.nodes.some((node) => node.name === replica.node));
  for (const place of new Set(elsewhere.map((replica) => replica.address))) {
    const replicas = elsewhere.filter((replica) => replica.address === place);
    const own = !status.server.cluster;
    const same = own && groups.find((group) => group.own);
    if (same) same.replicas.push(...replicas);
    else groups.push({ name: own ? "this process" : (place ?? "nowhere"), address: "", own, replicas });
  }
  return groups;
}

let layout = "";

function showReplicas(status) {
  const groups = groupsOf(status);
  const table = at("replicas");
  const wanted = JSON.stringify(groups.map((group) => [group.name, group.address, group.replicas.map((replica) => replica.name)]));
  if (wanted !== layout) {
    layout = wanted;
    for (const body of [...table.tBodies]) body.remove();
    for (const group of groups) table.append(bodyOf(group));
  }
  groups.forEach((group, i) => {
    const rows = table.tBodies[i].querySelectorAll(".replica");
    group.replicas.forEach((replica, j) => CELLS.forEach(([, , show], k) => show(replica, rows[j].cells[k + 1])));
  });
  const nodes = status.nodes.length;
  put(at("replicas-note"), nodes ? `${nodes} node${nodes === 1 ? "" : "s"}` : "");
}

function bodyOf(group) {
  const body = make("tbody");
  const head = make("tr", "node");
  const name = make("th", "", group.name);
  name.scope = "rowgroup";
  name.colSpan = CELLS.length + 1;
  const note = group.replicas.length ? group.address : [group.address, "no replica"].filter(Boolean).join(", ");
  if (note) name.append(make("span", "", note));
  head.append(name);
  body.append(head);
  for (const replica of group.replicas) {
    const row = make("tr", "replica");
    const title = make("th", "", replica.name);
    title.scope = "row";
    row.append(title);
    for (const [label, kind] of CELLS) {
      const cell = make("td", kind);
      cell.dataset.name = label;
      row.append(cell);
    }
    body.append(row);
  }
  return body;
}

let lastEvent = -1;

function showEvents(events, now) {
  put(at("events-note"), events.length ? "" : "none yet");
  const newest = events[0]?.number ?? 0;
  if (newest === lastEvent) return;
  lastEvent = newest;
  at("events").replaceChildren(...events.map((event) => {
    const line = make("li", event.level);
    const time = make("time", "", when(event.at, now));
    time.dateTime = new Date(event.at * 1000).toISOString();
    time.title = new Date(event.at * 1000).toLocaleString("en-GB");
    const mark = make("span", "mark");
    mark.setAttribute("role", "img");
    mark.setAttribute("aria-label", event.level);
    line.append(time, mark, make("span", "what", event.what), make("span", "times", event.times > 1 ? `× ${count(event.times)}` : ""));
    return line;
  }));
}

function showFacts(status) {
  const { totals, now, server } = status;
  const refused = Object.values(totals.refused).reduce((sum, times) => sum + times, 0);
  const facts = [
    ["Requests accepted", count(totals.accepted)],
    ["Sequences finished", count(totals.finished)],
    ["Ended by clients", count(totals.aborted)],
    ["Failed", count(totals.failed)],
    ["Refused", count(refused)],
    ["Too late in the queue", count(totals.expired)],
    ["Taken up elsewhere", count(totals.replayed)],
    ["Tokens delivered", short(totals.tokens)],
    ["Connections", count(now.connections)],
    ["Measured capacity", now.capacity_tokens_per_s ? `${rate(now.capacity_tokens_per_s)} tokens/s` : "–"],
    ...(server.coordinator ? [["Coordinator", server.coordinator]] : []),
    ["Longest sequence", `${count(server.max_model_len)} tokens`],
    ["Version", server.version ?? "–"],
  ];
  const list = at("facts");
  if (list.children.length !== 2 * facts.length) list.replaceChildren(...facts.flatMap(() => [make("dt"), make("dd")]));
  facts.forEach(([name, value], i) => {
    put(list.children[2 * i], name);
    put(list.children[2 * i + 1], value);
  });
  put(at("facts-note"), `up ${age(server.started, status.time)}`);
}

function show(status) {
  showHead(status.server);
  showTiles(status);
  showReplicas(status);
  showEvents(status.events, status.time);
  showFacts(status);
  tell(status.server.health === "ok" && status.server.ready ? "" : (status.server.reason ?? ""));
  at("status").hidden = false;
  at("status").classList.remove("stale");
}

function tell(words, bad = false) {
  const trouble = at("trouble");
  put(trouble, words);
  trouble.hidden = !words;
  trouble.classList.toggle("bad", bad);
}

// --- the loop ---

let answered = 0;
let timer = 0;

function again(ms) {
  clearTimeout(timer);
  timer = setTimeout(() => void poll(), ms);
}

async function poll() {
  if (document.hidden) return;  // it goes on when it is seen again
  try {
    const response = await fetch("/ui/status.json", { headers: keyHeaders(), cache: "no-store", signal: AbortSignal.timeout(ANSWER_MS) });
    if (response.status === 401) return askForKey(() => void poll());
    if (!response.ok) throw new Error(`${response.status}`);
    const status = await response.json();
    hideKeyForm();
    answered = Date.now();
    show(status);
  } catch {
    const silent = answered ? ` for ${Math.round((Date.now() - answered) / 1000)} s` : "";
    tell(`The gateway does not answer${silent}. These figures are old; it is asked again every second.`, true);
    at("status").classList.add("stale");
    at("health").className = "state bad";
    put(at("health"), "no answer");
  }
  again(POLL_MS);
}

document.addEventListener("visibilitychange", () => {
  if (!document.hidden) again(0);
});
void poll();
