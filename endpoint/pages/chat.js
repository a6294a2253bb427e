// The chat page. Whatever a model says goes in as text, never as markup.

import { askForKey, hideKeyForm, keyHeaders } from "/ui/key.js";
import { answer, AnswerError } from "/ui/stream.js";

const at = (id) => document.getElementById(id);
const log = at("log");
const ask = at("ask");

let messages = [];     // of the conversation: {role, content}
let running = null;    // the AbortController of the answer that comes

function make(tag, name, text) {
  const node = document.createElement(tag);
  if (name) node.className = name;
  if (text) node.textContent = text;
  return node;
}

// --- what is asked for ---

function number(id) {
  const field = at(id);
  return field.value.trim() === "" || !field.validity.valid ? undefined : Number(field.value);
}

function bodyOf() {
  const system = at("system").value.trim();
  const body = {
    model: at("model").value || undefined,
    messages: [...(system ? [{ role: "system", content: system }] : []), ...messages],
    stream: true,
    stream_options: { include_usage: true },
    temperature: number("temperature"),
    max_tokens: number("max-tokens"),
    seed: number("seed"),
  };
  return body;
}

// --- what is shown ---

function nearEnd() {
  return log.scrollHeight - log.scrollTop - log.clientHeight < 60;
}

function toEnd() {
  log.scrollTop = log.scrollHeight;
}

function addMessage(role, content) {
  at("empty").hidden = true;
  const node = make("article", `message ${role}`);
  node.setAttribute("aria-label", role === "user" ? "You" : "Answer");
  const body = make("div", "body");
  const text = document.createTextNode(content);
  body.append(text);
  node.append(body);
  const foot = make("p", "foot");
  if (role === "assistant") node.append(foot);
  log.append(node);
  toEnd();
  return { node, text, foot };
}

function setRunning(controller) {
  running = controller;
  if (!running && document.activeElement === at("stop")) ask.focus();
  at("send").hidden = running !== null;
  at("stop").hidden = running === null;
}

// "57 tokens, first after 0.12 s, 48.2 tokens/s"
function footOf(shown, finish) {
  const words = [];
  if (shown.tokens) words.push(`${shown.tokens} token${shown.tokens === 1 ? "" : "s"}`);
  if (shown.first) words.push(`first after ${((shown.first - shown.begin) / 1000).toFixed(2)} s`);
  const seconds = (shown.last - shown.first) / 1000;
  if (shown.pieces > 1 && seconds > 0) words.push(`${((shown.pieces - 1) / seconds).toFixed(1)} tokens/s`);
  if (shown.resumed) words.push(`taken up again ${shown.resumed === 1 ? "once" : `${shown.resumed} times`}`);
  if (finish === "length") words.push("cut at its longest");
  if (finish === "stopped") words.push("stopped");
  return words.join(" · ");
}

function showTrouble(message, error, again) {
  const box = make("div", "trouble");
  box.setAttribute("role", "alert");
  box.append(make("span", "", error.status ? `${error.message} (${error.status})` : error.message));
  const button = make("button", "", "Try again");
  button.type = "button";
  box.append(button);
  let left = error.retryAfterS;
  const timer = setInterval(() => tick(), 1000);
  const tick = () => {
    button.disabled = left > 0;
    button.textContent = left > 0 ? `Try again in ${left} s` : "Try again";
    if (left-- <= 0) clearInterval(timer);
  };
  tick();
  button.onclick = () => {
    clearInterval(timer);
    if (!running) again();
  };
  message.node.append(box);
}

// --- an answer ---

function take(chunk, message, shown) {
  const choice = chunk.choices[0];
  if (chunk.usage) shown.tokens = chunk.usage.completion_tokens;
  if (!choice) return;
  shown.finish = choice.finish_reason ?? shown.finish;
  const piece = choice.delta.content;
  if (piece === undefined || piece === null) return;
  if (choice.delta.role === undefined) {
    shown.last = performance.now();
    shown.first ||= shown.last;
    ++shown.pieces;
  }
  const follow = nearEnd();
  message.text.appendData(piece);
  if (follow) toEnd();
}

async function listen(message, controller) {
  const shown = { begin: performance.now(), first: 0, last: 0, pieces: 0, tokens: 0, resumed: 0, finish: "" };
  let waits = false;
  const setWaits = (why) => {
    if (waits && !why) ++shown.resumed;
    waits = Boolean(why);
    message.node.classList.toggle("waits", waits);
    message.foot.textContent = why ? `The stream broke (${why}); it goes on at the next character as soon as a server is there.` : "";
  };
  try {
    for await (const event of answer("/v1/chat/completions", bodyOf(), keyHeaders, controller.signal)) {
      if (event.waits || waits) setWaits(event.waits);
      if (event.chunk) take(event.chunk, message, shown);
    }
  } catch (error) {
    if (!controller.signal.aborted) throw error;
    shown.finish = "stopped";
  } finally {
    setWaits("");
    message.foot.textContent = footOf(shown, shown.finish);
  }
}

async function answerNext() {
  const conversation = messages;
  const controller = new AbortController();
  setRunning(controller);
  const message = addMessage("assistant", "");
  message.node.classList.add("running");
  message.node.setAttribute("aria-busy", "true");
  at("said").textContent = "The answer comes.";
  let failed = null;
  try {
    await listen(message, controller);
  } catch (error) {
    failed = error instanceof AnswerError ? error : new AnswerError(`This page failed: ${error.message}`);
  }
  message.node.classList.remove("running");
  message.node.removeAttribute("aria-busy");
  setRunning(null);
  if (conversation !== messages) return;  // another one has begun
  if (failed) {
    const again = () => {
      message.node.remove();
      void answerNext();
    };
    if (failed.status === 401) askForKey(() => void start(again));
    showTrouble(message, failed, again);
    at("said").textContent = "";
  } else {
    messages.push({ role: "assistant", content: message.text.data });
    at("said").textContent = message.text.data;
  }
  toEnd();
}

// --- controls ---

function fitAsk() {
  ask.style.height = "auto";
  ask.style.height = `${ask.scrollHeight + 2}px`;
}

function send() {
  const content = ask.value.trim();
  if (!content || running) return;
  if (messages.at(-1)?.role === "user") {  // it was never answered, and is not asked again with this one
    messages.pop();
    [...log.querySelectorAll(".message.user")].at(-1)?.classList.add("dropped");
  }
  for (const box of log.querySelectorAll(".trouble")) box.parentNode.remove();
  messages.push({ role: "user", content });
  addMessage("user", content);
  ask.value = "";
  fitAsk();
  void answerNext();
}

function stop() {
  running?.abort(new DOMException("stopped", "AbortError"));
  ask.focus();
}

at("compose").addEventListener("submit", (event) => {
  event.preventDefault();
  send();
});
ask.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  send();
});
ask.addEventListener("input", fitAsk);
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && running) stop();
});
at("stop").addEventListener("click", stop);
at("settings-form").addEventListener("submit", (event) => event.preventDefault());
at("anew").addEventListener("click", () => {
  stop();
  messages = [];
  for (const node of [...log.querySelectorAll(".message")]) node.remove();
  at("empty").hidden = false;
});

async function start(then) {
  if (matchMedia("(max-width: 860px)").matches) at("settings").open = false;
  try {
    const response = await fetch("/v1/models", { headers: keyHeaders(), cache: "no-store" });
    if (response.status === 401) return askForKey(() => void start(then));
    if (!response.ok) throw new Error(`/v1/models answers ${response.status}`);
    const names = (await response.json()).data.map((model) => model.id);
    at("model").replaceChildren(...names.map((name) => new Option(name, name)));
    at("model").parentNode.hidden = names.length < 2;
    at("where").replaceChildren(make("b", "", names[0] ?? ""));
    hideKeyForm();
    then?.();
  } catch {
    at("where").textContent = "The server does not answer";
  }
}

void start();
