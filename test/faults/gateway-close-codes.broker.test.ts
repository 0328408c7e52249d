// Discord closes the connection, with each of the codes after which its documentation allows another. After most of them
// the session lives and is resumed, whatever a client may think of the code; after three it is gone, which is told.
// https://discord.com/developers/docs/topics/opcodes-and-status-codes#gateway-gateway-close-event-codes

import { expect } from 'vitest';
import { disastersOn } from './disaster.ts';

const strikes = disastersOn({});

const KEPT = [
  [1000, 'normal closure'],
  [1001, 'going away'],
  [1006, 'no close frame at all'],
  [4000, 'unknown error'],
  [4002, 'decode error'],
  [4003, 'not authenticated'],
  [4005, 'already authenticated'],
  [4008, 'rate limited'],
  [4200, "the client's own code"],
] as const;

for (const [code, name] of KEPT)
  strikes(`closed with ${code} (${name}), the session is resumed`, {
    rate: 400,
    trafficAfterMs: 300,
    async happens({ simulator }) {
      const [resumed, identified] = [simulator?.count('resumed') ?? 0, simulator?.count('identify')];
      if (code === 1006) simulator?.dropConnections();
      else simulator?.close(undefined, code);
      await simulator?.waitFor('resumed', resumed + 1, 60_000);
      expect(simulator?.count('identify')).toBe(identified);
      return undefined;
    },
    bounds({ repeated }) {
      expect(repeated).toBe(0);
    },
  });

const GONE = [
  [4001, 'unknown opcode'],
  [4007, 'invalid sequence'],
  [4009, 'session timed out'],
] as const;

for (const [code, name] of GONE)
  strikes(`closed with ${code} (${name}), the lost session is told and another one begins`, {
    rate: 400,
    trafficAfterMs: 500,
    gapsExpected: true,
    async happens({ reader, simulator }) {
      const begun = simulator?.count('ready') ?? 0;
      const [session] = simulator?.sessions ?? [];
      simulator?.close(undefined, code);
      await simulator?.waitFor('ready', begun + 1, 60_000);
      return { told: String(reader.gaps.has(session?.id ?? '')) };
    },
    bounds({ gaps }, { told }) {
      expect(gaps).toBe(1);
      expect(told, 'the gap names the session that was closed').toBe('true');
    },
  });
