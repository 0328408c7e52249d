// Whether a request names this task, by its header Host. A web page whose name is pointed at this task's address (DNS
// rebinding) can read what a browser here may read, but the browser still sends the page's own name. Pure.

import { isIP } from 'node:net';

const HOST = /^(?:\[([\da-f:.]+)\]|([^:[\]@/\s]+))(?::\d{1,5})?$/i;

/**
 * An address, a name without a dot (`localhost`, a container: no public name is so), or one of the task's own names.
 * HTTP/1.0 may have no Host; a browser always sends one.
 */
export function isOwnHost(header: string | undefined, ownNames: readonly string[]): boolean {
  if (header === undefined) return true;
  const [, inBrackets, plain] = HOST.exec(header) ?? [];
  const host = (inBrackets ?? plain)?.toLowerCase();
  if (host === undefined) return false;
  return isIP(host) !== 0 || !host.includes('.') || ownNames.some((name) => name.toLowerCase() === host);
}
