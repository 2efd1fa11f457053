// Requests: their addresses, their errors, and no more of them than are still wanted.

import { lose } from "./connection.js";

export class ApiError extends Error {
  constructor(status, code, message) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

/** Builds an address; references keep their tildes and commas, which need no escape. */
export function url(path, query = {}) {
  const parts = Object.entries(query)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `${name}=${encodeURIComponent(value).replaceAll("%2C", ",")}`);
  return `/api/${path}${parts.length ? "?" : ""}${parts.join("&")}`;
}

const pause = (milliseconds, signal) => new Promise((resolve, reject) => {
  const stop = () => {
    clearTimeout(timer);
    reject(new DOMException("", "AbortError"));
  };
  const timer = setTimeout(() => {
    signal?.removeEventListener("abort", stop);
    resolve();
  }, milliseconds);
  signal?.addEventListener("abort", stop, { once: true });
});

/** Like fetch, but where there is no answer at all, the page says so. */
async function ask(address, options) {
  try {
    return await fetch(address, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    lose();
    throw new ApiError(0, "offline", String(error));
  }
}

/** Returns an answer's fault, by the server's word for it. */
async function faultOf(response) {
  const body = await response.json().catch(() => ({}));
  return new ApiError(response.status, body.error ?? "failed", body.message ?? "");
}

/** Fetches; where the server says that it is busy, tries again for a while. */
export async function get(address, { signal, tries = 60 } = {}) {
  for (let attempt = 1; ; attempt += 1) {
    const response = await ask(address, { signal });
    if (response.ok) return response;
    if (response.status !== 503 || attempt >= tries) throw await faultOf(response);
    // Not before the server says, and ever more slowly: what takes long need not be asked for often.
    const seconds = Math.max(Number(response.headers.get("Retry-After") ?? 1), Math.min(5, attempt));
    await pause(1000 * seconds, signal);
  }
}

export async function bitmap(address, options) {
  return createImageBitmap(await (await get(address, options)).blob());
}

export async function json(address, options) {
  return (await get(address, options)).json();
}

/** Fetches what early.js has asked for already, unless that went wrong. */
export async function early(address) {
  const response = await window.easyvaeEarly[address];
  delete window.easyvaeEarly[address];
  return response?.ok ? response.json() : json(address);
}

/** Runs the newest of a kind of request: what is still under way for an older one is broken off. */
export class Latest {
  #controller = null;

  async run(work) {
    this.#controller?.abort();
    const controller = new AbortController();
    this.#controller = controller;
    try {
      const result = await work(controller.signal);
      if (!controller.signal.aborted) return result;
      result.close?.(); // a picture that nobody will draw
      return undefined;
    } catch (error) {
      if (controller.signal.aborted || error.name === "AbortError") return undefined;
      throw error;
    }
  }

  cancel() {
    this.#controller?.abort();
  }
}

/** Sends a picture as it is: its name stays here. */
export async function send(file) {
  const response = await ask("/api/uploads", {
    method: "POST", body: file, headers: { "Content-Type": "application/octet-stream" },
  });
  if (!response.ok) throw await faultOf(response);
  return (await response.json()).ref;
}
