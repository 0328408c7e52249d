// The REST route that a gateway client asks before it connects, in Discord's own shape.
// https://discord.com/developers/docs/events/gateway#get-gateway-bot

import type { IncomingMessage, ServerResponse } from 'node:http';
import { pipeline, Readable } from 'node:stream';
import type { APIGatewayBotInfo } from 'discord-api-types/v10';

export interface RestAnswer {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  /** Text and streams as they are, anything else as JSON. */
  readonly body?: unknown;
}

export function restAnswer(request: IncomingMessage, token: string, gatewayBot: () => APIGatewayBotInfo): RestAnswer {
  const { pathname } = new URL(request.url ?? '/', 'http://localhost');
  if (pathname !== '/api/v10/gateway/bot') return refused(404, 'Not Found');
  if (request.method !== 'GET') return refused(405, 'Method Not Allowed');
  if (request.headers.authorization !== `Bot ${token}`) return refused(401, 'Unauthorized');
  return { status: 200, body: gatewayBot() };
}

export function sendAnswer(response: ServerResponse, { status, headers, body }: RestAnswer): void {
  // A status that cannot be written, and a stream that fails, reset the connection.
  if (body instanceof Readable) body.on('error', () => response.destroy());
  if (!(Number.isInteger(status) && status >= 200 && status <= 599)) {
    response.socket?.destroy();
    return;
  }
  response.writeHead(status, { 'content-type': 'application/json', ...headers });
  if (body instanceof Readable) pipeline(body, response, () => undefined);
  else response.end(typeof body === 'string' ? body : JSON.stringify(body));
}

const refused = (status: number, text: string): RestAnswer => ({
  status,
  body: { message: `${status}: ${text}`, code: 0 },
});
