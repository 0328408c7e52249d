// Where the bot's token may be sent. Get Gateway Bot, READY and the group record name an address of the gateway, and none of
// them is trusted: otherwise whoever can write one of them gets the token. Pure.

const DISCORD_API_HOST = /^(?:[\w-]+\.)*discord(?:app)?\.com$/;
const GATEWAY_HOST = /^(?:[\w-]+\.)+discord\.gg$/;
const LOOPBACK_HOST = /^(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])$/;

/** Whether nothing that is sent to this host leaves the machine. @param hostname as `URL` has it */
export const isLoopback = (hostname: string): boolean => LOOPBACK_HOST.test(hostname);

/**
 * @param text from outside
 * @param apiUrl REST base. Where it is not Discord's, its own host is trusted in addition
 * @returns the address without query, or nothing: it is no address, or the token does not belong there
 */
export function gatewayAddress(text: unknown, apiUrl: string): string | undefined {
  if (typeof text !== 'string' || text.length > 2_048 || !URL.canParse(text)) return undefined;
  const url = new URL(text);
  const api = new URL(apiUrl);
  const trusted =
    GATEWAY_HOST.test(url.hostname) || (!DISCORD_API_HOST.test(api.hostname) && url.hostname === api.hostname);
  const encrypted = url.protocol === 'wss:' || (url.protocol === 'ws:' && isLoopback(url.hostname));
  if (!trusted || !encrypted || url.username !== '' || url.password !== '' || text.includes('#')) return undefined;
  // The package appends its own query.
  return `${url.origin}${url.pathname}`;
}
