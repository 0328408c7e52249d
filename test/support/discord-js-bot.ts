// discord.js in a worker: a Client that never logs in. Dispatches, or what is made of our messages, reach its handlers and
// caches as from its own gateway connection after READY.

import { Client, type ClientEvents } from 'discord.js';
import { onTestFinished } from 'vitest';
import { samplePayloads } from '../../local/discord/payloads/samples.ts';

interface Dispatch {
  readonly t: string;
  readonly d?: unknown;
}

const READY = samplePayloads(1).find(({ name }) => name === 'ready');

export class Bot {
  readonly client: Client;
  readonly #handle: (packet: Dispatch, shard: object) => void;
  readonly #shard = { id: 0, status: 0, checkReady: () => {} };

  /**
   * @param guild the GUILD_CREATE of the one guild that it knows
   * @param api where it reaches Discord's REST
   */
  constructor({ guild, api }: { guild?: Dispatch | null | undefined; api?: string } = {}) {
    this.client = new Client({ intents: [], ...(api !== undefined && { rest: { api } }) });
    onTestFinished(() => this.client.destroy());
    this.#handle = Reflect.get(this.client.ws, 'handlePacket').bind(this.client.ws);
    const d = READY?.dispatch.d;
    this.take({ t: 'READY', d: { ...d, guilds: guild ? [{ id: Object(guild.d).id, unavailable: true }] : [] } });
    Reflect.get(this.client.ws, 'triggerClientReady').call(this.client.ws);
    if (guild) this.take(guild);
  }

  take({ t, d }: Dispatch): void {
    this.#handle({ t, d: JSON.parse(JSON.stringify(d)) }, this.#shard);
  }

  /** The arguments of the event that this dispatch makes; none if discord.js makes none. */
  see<E extends keyof ClientEvents>(event: E, dispatch: Dispatch): ClientEvents[E] | undefined {
    let seen: ClientEvents[E] | undefined;
    this.client.once(event, (...all) => {
      seen = all;
    });
    this.take(dispatch);
    return seen;
  }
}
