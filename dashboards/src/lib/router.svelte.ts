/** Addresses behind `#`, so that the server needs to know one page only. */

export type Route =
  | { page: 'events'; eventId: string | null }
  | { page: 'devices'; query: URLSearchParams }
  | { page: 'device'; deviceId: string }
  | { page: 'quiet' }
  | { page: 'intake' };

export function parse(hash: string): Route {
  const [path = '', query = ''] = hash.replace(/^#\/?/, '').split('?', 2);
  const [page, id] = path.split('/').map(decode);
  if (page === 'devices') {
    return id ? { page: 'device', deviceId: id } : { page: 'devices', query: new URLSearchParams(query) };
  }
  if (page === 'quiet' || page === 'intake') return { page };
  return { page: 'events', eventId: id || null };
}

/** The address of an event, a device or a list. */
export const href = {
  events: () => '#/events',
  event: (eventId: string) => `#/events/${encodeURIComponent(eventId)}`,
  devices: (query: Record<string, string> = {}) => {
    const text = new URLSearchParams(Object.entries(query).filter(([, value]) => value)).toString();
    return `#/devices${text ? `?${text}` : ''}`;
  },
  quiet: () => '#/quiet',
  intake: () => '#/intake',
  device: (deviceId: string) => `#/devices/${encodeURIComponent(deviceId)}`,
};

function decode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch (error) {
    if (error instanceof URIError) return part;
    throw error;
  }
}

class Router {
  route = $state.raw<Route>(parse(location.hash));

  start(): () => void {
    const changed = () => (this.route = parse(location.hash));
    addEventListener('hashchange', changed);
    return () => removeEventListener('hashchange', changed);
  }

  go(address: string): void {
    location.hash = address;
  }
}

export const router = new Router();
