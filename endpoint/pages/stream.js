// A streamed answer that outlives its connection: when the stream breaks, the same body is sent again with the id of the last event
// that was read whole, and goes on behind it.

const WAITS_MS = [250, 500, 1000, 2000];  // before each further try; the last one again and again
const GIVE_UP_MS = 120000;                // without a new event
const SILENT_MS = 60000;                  // a server says something every 10 s: the connection is dead

export class AnswerError extends Error {
  constructor(message, { status = 0, retryAfterS = 0 } = {}) {
    super(message);
    this.status = status;            // 0: no answer
    this.retryAfterS = retryAfterS;  // 0: the server did not say
  }
}

// Events of a server-sent stream from its text, in whatever pieces that comes. A last event that is not whole is dropped with this.
export class EventReader {
  #rest = "";
  #id = null;
  #data = [];

  // [{id, data}]; id is null where the event had none.
  read(piece) {
    const lines = (this.#rest + piece).split("\n");
    this.#rest = lines.pop();
    const events = [];
    for (const raw of lines) {
      const line = raw.endsWith("\r") ? raw.slice(0, -1) : raw;
      if (line === "") {
        if (this.#data.length) events.push({ id: this.#id, data: this.#data.join("\n") });
        this.#id = null;
        this.#data = [];
      } else if (!line.startsWith(":")) {
        const colon = line.indexOf(":");
        const name = colon < 0 ? line : line.slice(0, colon);
        const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
        if (name === "data") this.#data.push(value);
        else if (name === "id") this.#id = value;
      }
    }
    return events;
  }
}

function pause(ms, signal) {
  return new Promise((resolve, reject) => {
    const stopped = () => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      signal.removeEventListener("abort", stopped);
      resolve();
    }, ms);
    if (signal.aborted) stopped();
    else signal.addEventListener("abort", stopped, { once: true });
  });
}

async function refusalOf(response) {
  const retryAfterS = Number(response.headers.get("retry-after")) || 0;
  let message = "";
  try {
    message = (await response.json()).error.message;
  } catch {
    message = response.statusText || "no reason was given";
  }
  return new AnswerError(message, { status: response.status, retryAfterS });
}

// One connection. Yields {id, data}; returns when the body ends, throws what broke it.
async function* eventsOf(response, quit) {
  const reader = response.body.getReader();
  const decoder = new TextDecoder();
  const events = new EventReader();
  try {
    for (;;) {
      let timer;
      const silence = new Promise((_, reject) => {
        timer = setTimeout(() => reject(new TypeError("silence")), SILENT_MS);
      });
      const { done, value } = await Promise.race([reader.read(), silence]).finally(() => clearTimeout(timer));
      if (done) return;
      yield* events.read(decoder.decode(value, { stream: true }));
    }
  } finally {
    quit();
  }
}

// Yields {chunk}, one of the API's, and {waits: why} whenever the stream broke and is being taken up again. Returns behind [DONE].
// Throws AnswerError, and what `signal` was aborted with.
export async function* answer(url, body, headers, signal) {
  const text = JSON.stringify(body);  // byte for byte the same each time: the ids are bound to it
  let lastId = null;
  let begun = false;  // something was shown
  let tries = 0;
  let heard = Date.now();
  for (;;) {
    let why = "";
    let connected = false;
    let waitMs = WAITS_MS[Math.min(tries, WAITS_MS.length - 1)];
    const connection = new AbortController();
    const stop = () => connection.abort(signal.reason);
    signal.addEventListener("abort", stop, { once: true });
    try {
      signal.throwIfAborted();
      const response = await fetch(url, {
        method: "POST",
        headers: { "Content-Type": "application/json", ...headers(), ...(lastId === null ? {} : { "Last-Event-ID": lastId }) },
        body: text,
        cache: "no-store",
        signal: connection.signal,
      });
      if (!response.ok) {
        const refusal = await refusalOf(response);
        // Of a stream that goes on, a server that loads or is full is worth a wait.
        if (!begun || (refusal.status !== 503 && refusal.status !== 429)) throw refusal;
        why = refusal.message;
        waitMs = Math.max(waitMs, refusal.retryAfterS * 1000);
      } else {
        connected = true;
        for await (const event of eventsOf(response, () => connection.abort())) {
          if (event.data === "[DONE]") return;
          const chunk = JSON.parse(event.data);
          if (chunk.error) {
            if (Number(chunk.error.code) !== 503 || lastId === null)
              throw new AnswerError(chunk.error.message, { status: Number(chunk.error.code) || 500 });
            why = chunk.error.message;  // it ends; what comes after it goes on
            break;
          }
          lastId = event.id;  // null: a server that has just started; behind this event nobody can go on
          begun = true;
          tries = 0;
          heard = Date.now();
          yield { chunk };
        }
        why ||= "the connection was lost";
      }
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof AnswerError) throw error;
      if (!connected && tries === 0) throw new AnswerError("The server does not answer.");
      why = connected ? "the connection was lost" : "the server does not answer";
    } finally {
      signal.removeEventListener("abort", stop);
      connection.abort();
    }
    if (begun && lastId === null)
      throw new AnswerError("The connection was lost, and the server was too young to go on with this answer.");
    if (Date.now() - heard > GIVE_UP_MS) throw new AnswerError(`The connection was lost, and for two minutes nobody went on: ${why}.`);
    ++tries;
    yield { waits: why };
    await pause(waitMs, signal);
  }
}
