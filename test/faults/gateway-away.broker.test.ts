// Discord cannot be reached: neither its gateway nor its REST, or its REST only. A connection that nobody answered says
// nothing about the session, so the session is kept and tried again, at its own address and, in turn, at the general one.

import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, expect } from 'vitest';
import type { Stage } from '../../local/stage.ts';
import { ENV } from '../../service/contract/names.ts';
import { disastersOn } from './disaster.ts';

/** Discord's REST as a thing of its own, that can be away. */
const rest = { away: false, behind: '' };
const server = createServer(async (request, response) => {
  if (rest.away) {
    response
      .writeHead(503, { 'content-type': 'application/json' })
      .end('{"message":"upstream connect error","code":0}');
    return;
  }
  const { authorization = '' } = request.headers;
  try {
    const answer = await fetch(`${rest.behind}${request.url?.replace(/^\/api/, '')}`, { headers: { authorization } });
    response.writeHead(answer.status, { 'content-type': 'application/json' }).end(await answer.text());
  } catch {
    request.socket.destroy();
  }
});
await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
afterAll(() => {
  server.closeAllConnections();
  server.close();
});

const strikes = disastersOn({ tasks: 0, untilReady: false });

async function prepare(stage: Stage): Promise<void> {
  if (stage.tasks.length > 0) return;
  rest.behind = stage.simulator?.apiUrl ?? '';
  await stage.startTask({ [ENV.discordApiUrl]: `http://127.0.0.1:${(server.address() as AddressInfo).port}/api` });
  await stage.ready();
}

/** Nobody answers until the task has tried so often. */
async function unreachable(stage: Stage, tries: number): Promise<void> {
  const tried = () => stage.tasks[0]?.output.split('"verdict":"unreachable"').length ?? 0;
  const before = tried();
  stage.simulator?.refuseConnections(true);
  stage.simulator?.dropConnections();
  await stage.until(`${tries} connections that nobody answered`, 60_000, () => tried() >= before + tries);
  stage.simulator?.refuseConnections(false);
}

/** The same session goes on. */
async function resumed(stage: Stage, happens: () => Promise<void>): Promise<undefined> {
  const before = stage.simulator?.count('resumed') ?? 0;
  await happens();
  await stage.simulator?.waitFor('resumed', before + 1, 60_000);
  expect(stage.simulator?.count('identify')).toBe(1);
  return undefined;
}

strikes('a gateway that nobody can reach for a while costs no session', {
  rate: 300,
  trafficAfterMs: 500,
  prepare,
  happens: (stage) => resumed(stage, () => unreachable(stage, 2)),
  bounds: ({ repeated }) => expect(repeated).toBe(0),
});

strikes("a gateway that comes back before Discord's REST does is resumed all the same", {
  rate: 300,
  trafficAfterMs: 500,
  prepare,
  async happens(stage) {
    rest.away = true;
    await resumed(stage, () => unreachable(stage, 2));
    rest.away = false;
    return undefined;
  },
  bounds: ({ repeated }) => expect(repeated).toBe(0),
});
