// Whether the header Host of a request names this task. In DNS rebinding the name of a hostile web page resolves to the
// address of this task, so that the page could read its answers; but the browser sends the name of the page as Host. Pure.

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
