// Requests: their addresses, their errors, and no more of them than are still wanted.

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
  const timer = setTimeout(resolve, milliseconds);
  signal?.addEventListener("abort", () => {
    clearTimeout(timer);
    reject(new DOMException("", "AbortError"));
  });
});

/** Fetches; where the server says that it is busy, tries again for a while. */
export async function get(address, { signal, tries = 60 } = {}) {
  for (let attempt = 1; ; attempt += 1) {
    let response;
    try {
      response = await fetch(address, { signal });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new ApiError(0, "offline", String(error));
    }
    if (response.ok) return response;
    const body = await response.json().catch(() => ({}));
    if (response.status !== 503 || attempt >= tries) {
      throw new ApiError(response.status, body.error ?? "failed", body.message ?? "");
    }
    await pause(1000 * Number(response.headers.get("Retry-After") ?? 1), signal);
  }
}

export async function bitmap(address, options) {
  return createImageBitmap(await (await get(address, options)).blob());
}

export async function json(address, options) {
  return (await get(address, options)).json();
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
      return controller.signal.aborted ? undefined : result;
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
  let response;
  try {
    response = await fetch("/api/uploads", {
      method: "POST", body: file, headers: { "Content-Type": "application/octet-stream" },
    });
  } catch (error) {
    throw new ApiError(0, "offline", String(error));
  }
  const body = await response.json().catch(() => ({}));
  if (!response.ok) throw new ApiError(response.status, body.error ?? "failed", body.message ?? "");
  return body.ref;
}
