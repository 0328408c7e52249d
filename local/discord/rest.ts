// The two REST routes that a gateway client asks before it connects, in Discord's own shapes.
// https://discord.com/developers/docs/events/gateway#get-gateway-bot

import { type IncomingMessage, type ServerResponse, STATUS_CODES } from 'node:http';
import type { APIGatewayBotInfo } from 'discord-api-types/v10';

export interface RestAnswers {
  readonly token: string;
  /** Answers everything with this status instead. */
  readonly failing: number | undefined;
  gatewayBot(): APIGatewayBotInfo;
}

export function answerRest(request: IncomingMessage, response: ServerResponse, answers: RestAnswers): void {
  if (answers.failing !== undefined) {
    const text = STATUS_CODES[answers.failing] ?? 'Unknown';
    send(response, answers.failing, { message: `${answers.failing}: ${text}`, code: 0 });
    return;
  }
  const { pathname } = new URL(request.url ?? '/', 'http://localhost');
  const path = pathname.replace(/^\/api\/v10(?=\/)/, '');
  if (path === pathname || (path !== '/gateway' && path !== '/gateway/bot')) {
    send(response, 404, { message: '404: Not Found', code: 0 });
    return;
  }
  if (request.method !== 'GET') {
    send(response, 405, { message: '405: Method Not Allowed', code: 0 });
    return;
  }
  if (path === '/gateway') {
    send(response, 200, { url: answers.gatewayBot().url });
    return;
  }
  if (request.headers.authorization !== `Bot ${answers.token}`) {
    send(response, 401, { message: '401: Unauthorized', code: 0 });
    return;
  }
  send(response, 200, answers.gatewayBot());
}

function send(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}
