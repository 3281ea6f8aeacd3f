// What `starling demo` serves beside this page: where the gateway is, and tokens to get in.

export interface Place {
  url: string;
  swarm: string;
}

/** Where to go. `?swarm=name` in the page's address picks another swarm than the server's. */
export async function place(): Promise<Place> {
  const answer = await get("demo.json");
  const swarm = new URLSearchParams(location.search).get("swarm");
  return { url: field(answer, "url"), swarm: swarm || field(answer, "swarm") };
}

/** A fresh token that allows `swarm`. */
export async function token(swarm: string): Promise<string> {
  return field(await get(`token?swarm=${encodeURIComponent(swarm)}`), "token");
}

async function get(path: string): Promise<unknown> {
  let response: Response;
  try {
    response = await fetch(path, { cache: "no-store" });
  } catch {
    throw new Error("The demo server does not answer. Is `starling demo` still running?");
  }
  const answer: unknown = await response.json().catch(() => undefined);
  if (response.ok) return answer;
  throw new Error(text(answer, "error") ?? `The demo server answered /${path} with ${response.status}.`);
}

function field(answer: unknown, name: string): string {
  const value = text(answer, name);
  if (value === undefined) throw new Error(`The demo server's answer has no "${name}".`);
  return value;
}

function text(answer: unknown, name: string): string | undefined {
  if (typeof answer !== "object" || answer === null) return undefined;
  const value: unknown = Reflect.get(answer, name);
  return typeof value === "string" ? value : undefined;
}
