/** Requests under `/api/v1`: JSON in, JSON or a {@link Problem} out. */

const BASE = '/api/v1';
const TIMEOUT_MS = 15_000;

/** A refusal by the server (RFC 9457); `code` is what the catalogues translate. */
export class Problem extends Error {
  override name = 'Problem';
  constructor(
    readonly status: number,
    readonly code: string,
    readonly detail: string,
  ) {
    super(`${status} ${code}${detail ? `: ${detail}` : ''}`);
  }
}

export type Query = Record<string, string | number | boolean | null | undefined>;

export function get<T>(path: string, query: Query = {}, signal?: AbortSignal): Promise<T> {
  return request<T>('GET', path + search(query), undefined, {}, signal);
}

/** One try of a person. A line that breaks is tried once more with the same key, so it acts at most once. */
export async function post<T>(path: string, body: object): Promise<T> {
  const headers = { 'Idempotency-Key': newKey() };
  try {
    return await request<T>('POST', path, body, headers);
  } catch (error) {
    if (!(error instanceof Problem) || error.code !== 'no_connection') throw error;
    return await again<T>(path, body, headers);
  }
}

async function again<T>(path: string, body: object, headers: Record<string, string>): Promise<T> {
  try {
    return await request<T>('POST', path, body, headers);
  } catch (error) {
    // The line may have broken after the server acted: that nothing was done would be a guess.
    if (error instanceof Problem && error.code === 'no_connection') throw new Problem(0, 'outcome_unknown', error.detail);
    throw error;
  }
}

export function signIn<T>(name: string, password: string): Promise<T> {
  return request<T>('POST', '/auth/session', { name, password });
}

export function signOut(): Promise<void> {
  return request<void>('DELETE', '/auth/session');
}

function search(query: Query): string {
  const parts = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined && value !== null && value !== '') parts.set(name, String(value));
  }
  const text = parts.toString();
  return text ? `?${text}` : '';
}

async function request<T>(
  method: string,
  path: string,
  body?: object,
  headers: Record<string, string> = {},
  signal?: AbortSignal,
): Promise<T> {
  const deadline = AbortSignal.timeout(TIMEOUT_MS);
  let response: Response;
  try {
    response = await fetch(BASE + path, {
      method,
      credentials: 'same-origin',
      headers: body ? { 'Content-Type': 'application/json', ...headers } : headers,
      ...(body ? { body: JSON.stringify(body) } : {}),
      // AbortSignal.any is younger than the browsers of some wall computers.
      signal: signal ?? deadline,
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Problem(0, 'no_connection', error instanceof Error ? error.message : '');
  }
  if (!response.ok) throw await problemOf(response);
  return response.status === 204 ? (undefined as T) : ((await response.json()) as T);
}

async function problemOf(response: Response): Promise<Problem> {
  let told: { code?: unknown; detail?: unknown } = {};
  try {
    told = (await response.json()) as typeof told;
  } catch (error) {
    // A proxy's page in place of a problem document: the status is all there is.
    if (!(error instanceof SyntaxError)) throw error;
  }
  const code = typeof told.code === 'string' ? told.code : `http_${response.status}`;
  return new Problem(response.status, code, typeof told.detail === 'string' ? told.detail : '');
}

/** A fresh key. Away from localhost and https browsers have no `randomUUID`, so it is made by hand (RFC 9562 v4). */
export function newKey(source: Pick<Crypto, 'getRandomValues'> & { randomUUID?: () => string } = crypto): string {
  if (typeof source.randomUUID === 'function') return source.randomUUID();
  const bytes = source.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6]! & 0x0f) | 0x40;
  bytes[8] = (bytes[8]! & 0x3f) | 0x80;
  const hex = [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join('');
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}
