// Discord's REST as a worker uses it to answer an interaction: the callback, and the webhook that edits and follows up.
// An answer that Discord refuses is refused with its code. Discord's deadlines (3 s, and 15 minutes) are not simulated.
// https://discord.com/developers/docs/interactions/receiving-and-responding#responding-to-an-interaction

import { createHistogram } from 'node:perf_hooks';
import {
  InteractionResponseType as Answer,
  type APIInteraction,
  type APIMessage,
  InteractionType,
  MessageFlags,
  MessageType,
} from 'discord-api-types/v10';
import type { World } from './payloads/world.ts';
import type { RestAnswer } from './rest.ts';

/** What a worker sent, in order. */
export interface Sent {
  /** The callback's type, or the webhook's method and message: `PATCH @original`. */
  readonly what: number | string;
  readonly data: Readonly<Record<string, unknown>>;
}

/** The first answers to opened interactions; percentiles of the time from frame to answer, in milliseconds. */
export interface Replies {
  readonly answered: number;
  /** Some of these answers may be in transit. */
  readonly unanswered: number;
  readonly p50: number | null;
  readonly p99: number | null;
}

interface Known {
  readonly interaction: APIInteraction;
  /** By `performance.now()`. */
  readonly writtenAt: number;
  readonly sent: Sent[];
  readonly messages: Map<string, APIMessage>;
}

type Body = Readonly<Record<string, unknown>>;

/** The newest ones; Discord forgets one after 15 minutes. */
const MOST_KNOWN = 10_000;

const OF_MESSAGES = [Answer.ChannelMessageWithSource, Answer.DeferredChannelMessageWithSource, Answer.LaunchActivity];
const OF_COMPONENTS = [...OF_MESSAGES, Answer.DeferredMessageUpdate, Answer.UpdateMessage];
const ALLOWED: { readonly [T in InteractionType]: (interaction: APIInteraction) => readonly Answer[] } = {
  [InteractionType.Ping]: () => [],
  [InteractionType.ApplicationCommand]: () => [...OF_MESSAGES, Answer.Modal],
  [InteractionType.MessageComponent]: () => [...OF_COMPONENTS, Answer.Modal],
  [InteractionType.ApplicationCommandAutocomplete]: () => [Answer.ApplicationCommandAutocompleteResult],
  [InteractionType.ModalSubmit]: ({ message }) => (message === undefined ? OF_MESSAGES : OF_COMPONENTS),
};

/** Its routes. They need no bot token: the interaction's token is part of the path. */
export const CALLBACKS = /^\/api\/v10\/(?:interactions|webhooks)\//;
const PATH =
  /^\/api\/v10\/(?:interactions\/(?<id>\d+)\/(?<ofCallback>[^/]+)\/callback|webhooks\/\d+\/(?<token>[^/]+)(?:\/messages\/(?<message>[^/]+))?)$/;

export class InteractionCallbacks {
  readonly #world: World;
  readonly #known = new Map<string, Known>();
  /** Microseconds. */
  readonly #replyTimes = createHistogram();
  #opened = 0;

  constructor(world: World) {
    this.#world = world;
  }

  /** Its frame was written: from now on it can be answered. A replay changes nothing. */
  open(interaction: APIInteraction): void {
    if (this.#known.has(interaction.token)) return;
    this.#opened += 1;
    const writtenAt = performance.now();
    this.#known.set(interaction.token, { interaction, writtenAt, sent: [], messages: new Map() });
    const [oldest = ''] = this.#known.keys();
    if (this.#known.size > MOST_KNOWN) this.#known.delete(oldest);
  }

  get replies(): Replies {
    const { count: answered } = this.#replyTimes;
    const ms = (percent: number) => (answered === 0 ? null : this.#replyTimes.percentile(percent) / 1_000);
    return { answered, unanswered: this.#opened - answered, p50: ms(50), p99: ms(99) };
  }

  /** What was sent, and not refused, for the interaction with this token. */
  sent(token: string): readonly Sent[] {
    return this.#known.get(token)?.sent ?? [];
  }

  /** @param text the request's body */
  answer(method: string, url: string, text: string): RestAnswer {
    const { pathname } = new URL(url, 'http://localhost');
    // `@original` comes encoded.
    const { id, ofCallback, token = ofCallback ?? '', message } = PATH.exec(decodeURIComponent(pathname))?.groups ?? {};
    const body = fieldsOf(text);
    if (body === undefined) return refused(400, 50_109, 'The request body contains invalid JSON.');
    const known = this.#known.get(token);
    if (ofCallback === undefined) return this.#webhook(known, method, message, body);
    if (known === undefined || known.interaction.id !== id) return refused(404, 10_062, 'Unknown interaction');
    return this.#callback(known, body);
  }

  #callback(known: Known, { type, data = {} }: Body): RestAnswer {
    const { interaction, sent } = known;
    if (sent.length > 0) return refused(400, 40_060, 'Interaction has already been acknowledged.');
    if (!ALLOWED[interaction.type](interaction).some((each) => each === type)) return invalid('type');
    const fault = CHECKS[type as Answer]?.(data as Body);
    if (fault !== undefined) return fault;
    sent.push({ what: Number(type), data: data as Body });
    this.#replyTimes.record(Math.max(1, Math.round((performance.now() - known.writtenAt) * 1_000)));
    const original = 'message' in interaction ? interaction.message : undefined;
    if (type === Answer.ChannelMessageWithSource || type === Answer.DeferredChannelMessageWithSource)
      known.messages.set('@original', this.#message(known, data as Body));
    else if (original !== undefined && (type === Answer.UpdateMessage || type === Answer.DeferredMessageUpdate))
      known.messages.set('@original', { ...original, ...(data as Partial<APIMessage>) });
    const message = known.messages.get('@original');
    const resource = { type, ...(message && { message }) };
    return { status: 200, body: { interaction: { id: interaction.id, type: interaction.type }, resource } };
  }

  #webhook(known: Known | undefined, method: string, id: string | undefined, body: Body): RestAnswer {
    // Nothing follows before the first answer.
    if (known === undefined || known.sent.length === 0) return refused(404, 10_015, 'Unknown Webhook');
    const before = id === undefined ? undefined : known.messages.get(id);
    if (id !== undefined && before === undefined) return refused(404, 10_008, 'Unknown Message');
    const fault = method === 'POST' || method === 'PATCH' ? message(body) : undefined;
    if (fault !== undefined) return fault;
    known.sent.push({ what: id === undefined ? method : `${method} ${id}`, data: body });
    if (id !== undefined && method === 'DELETE') {
      known.messages.delete(id);
      return { status: 204, headers: { 'content-type': 'text/html; charset=utf-8' } };
    }
    const after = { ...(before ?? this.#message(known, body)), ...(method === 'PATCH' && body) };
    known.messages.set(id ?? after.id, after);
    return { status: 200, body: after };
  }

  #message({ interaction, messages }: Known, body: Body): APIMessage {
    const { content = '', embeds = [], components = [], flags = 0 } = body;
    return {
      id: String(BigInt(interaction.id) + BigInt(1_000 + messages.size)),
      channel_id: interaction.channel?.id ?? '0',
      author: this.#world.bot,
      timestamp: new Date().toISOString(),
      edited_timestamp: null,
      tts: false,
      mention_everyone: false,
      mentions: [],
      mention_roles: [],
      attachments: [],
      pinned: false,
      type: MessageType.ChatInputCommand,
      ...({ content, embeds, components, flags } as Pick<APIMessage, 'content' | 'embeds' | 'components' | 'flags'>),
    };
  }
}

const CHECKS: { readonly [T in Answer]?: (data: Body) => RestAnswer | undefined } = {
  [Answer.ChannelMessageWithSource]: message,
  [Answer.UpdateMessage]: message,
  [Answer.ApplicationCommandAutocompleteResult]: ({ choices }) =>
    isList(choices, 0, 25) ? undefined : invalid('choices'),
  [Answer.Modal]: ({ custom_id, title, components }) => {
    if (!isText(custom_id, 100)) return invalid('custom_id');
    if (!isText(title, 45)) return invalid('title');
    return isList(components, 1, 5) ? undefined : invalid('components');
  },
};

function message({ content, embeds = [], components = [], flags, poll, attachments }: Body): RestAnswer | undefined {
  if (content !== undefined && content !== null && String(content).length > 2_000) return invalid('content');
  if (!isList(embeds, 0, 10)) return invalid('embeds');
  if (!isList(components, 0, 40)) return invalid('components');
  if ((Number(flags) & MessageFlags.IsComponentsV2) !== 0 && content) return invalid('content');
  const isEmpty = !content && embeds.length === 0 && components.length === 0 && poll === undefined;
  return isEmpty && attachments === undefined ? refused(400, 50_006, 'Cannot send an empty message') : undefined;
}

function fieldsOf(text: string): Body | undefined {
  try {
    return text === '' ? {} : (Object(JSON.parse(text)) as Body);
  } catch {
    return undefined;
  }
}

const isText = (value: unknown, most: number): boolean =>
  typeof value === 'string' && value.length > 0 && value.length <= most;
const isList = (value: unknown, least: number, most: number): value is unknown[] =>
  Array.isArray(value) && value.length >= least && value.length <= most;

const refused = (status: number, code: number, text: string): RestAnswer => ({ status, body: { message: text, code } });
const invalid = (field: string): RestAnswer => {
  const errors = { [field]: { _errors: [{ code: 'INVALID', message: field }] } };
  return { status: 400, body: { message: 'Invalid Form Body', code: 50_035, errors } };
};
