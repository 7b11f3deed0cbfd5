/** Talking to the API: one function to read, one to write, one kind of error. */

/** An array is a parameter that is given several times; only there an empty text counts. */
export type Params = Record<string, string | number | boolean | null | undefined | readonly string[]>;

/** What went wrong, in the words of the server. `status` 0 means that the server was not reached. */
export class ApiError extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.name = "ApiError";
    this.status = status;
  }
}

export function withParams(path: string, params: Params = {}): string {
  const query = new URLSearchParams();
  for (const [key, value] of Object.entries(params)) {
    if (typeof value === "object" && value !== null) for (const one of value) query.append(key, one);
    else if (value !== null && value !== undefined && value !== "") query.append(key, String(value));
  }
  const text = query.toString();
  return text === "" ? path : `${path}?${text}`;
}

function detailOf(body: unknown, fallback: string): string {
  if (typeof body === "object" && body !== null) {
    const { detail, error } = body as { detail?: unknown; error?: unknown };
    if (typeof detail === "string") return detail;
    if (typeof error === "string") return error;
    if (detail !== undefined) return JSON.stringify(detail);
  }
  return fallback;
}

async function request<T>(path: string, init: RequestInit): Promise<T> {
  let response: Response;
  try {
    response = await fetch(path, init);
  } catch (cause) {
    if (cause instanceof DOMException && cause.name === "AbortError") throw cause;
    throw new ApiError(0, "Homeostat could not be reached. Check that it is running.");
  }
  const text = await response.text();
  let body: unknown;
  try {
    body = text === "" ? null : JSON.parse(text);
  } catch {
    throw new ApiError(response.status, `The server answered ${response.status} with something that is not JSON.`);
  }
  if (!response.ok) throw new ApiError(response.status, detailOf(body, `The server answered ${response.status}.`));
  return body as T;
}

export function getJson<T>(path: string, params?: Params, signal?: AbortSignal): Promise<T> {
  return request<T>(withParams(path, params), { headers: { accept: "application/json" }, signal: signal ?? null });
}

function sendJson<T>(method: "POST" | "PUT", path: string, body: object): Promise<T> {
  return request<T>(path, {
    method,
    headers: { accept: "application/json", "content-type": "application/json" },
    body: JSON.stringify(body),
  });
}

export function postJson<T>(path: string, body: object): Promise<T> {
  return sendJson<T>("POST", path, body);
}

export function putJson<T>(path: string, body: object): Promise<T> {
  return sendJson<T>("PUT", path, body);
}

export function deleteJson<T>(path: string): Promise<T> {
  return request<T>(path, { method: "DELETE", headers: { accept: "application/json" } });
}

/** Sends a text as it is, for example a file of definitions. */
export function postText<T>(path: string, body: string, type: string): Promise<T> {
  return request<T>(path, { method: "POST", headers: { accept: "application/json", "content-type": type }, body });
}
