// What Discord sends, parsed: a frame's text becomes one of these types, or a sentence about what is wrong with it. Pure. The
// gateway reads no part of `d` that is not parsed here.
// https://docs.discord.com/developers/events/gateway-events#payload-structure

import { GatewayDispatchEvents, GatewayOpcodes } from 'discord-api-types/v10';
import { z } from 'zod';

/** Discord's limit is 120 sends a minute and connection: heartbeats alone must not break it. */
const LEAST_HEARTBEAT_INTERVAL_MS = 500;
/** Discord asks for 41.25 s. With a longer one a dead connection would not be noticed within its session's life. */
const MOST_HEARTBEAT_INTERVAL_MS = 300_000;
/** Discord's session ids have 32 characters. */
const MOST_SESSION_ID = 200;
const MOST_SENTENCE = 200;

const op = <const Op extends GatewayOpcodes>(value: Op) => z.literal(value);
const sequence = z.int().min(1);

const Hello = z.object({
  op: op(GatewayOpcodes.Hello),
  d: z.object({ heartbeat_interval: z.int().min(LEAST_HEARTBEAT_INTERVAL_MS).max(MOST_HEARTBEAT_INTERVAL_MS) }),
});

const InvalidSession = z.object({ op: op(GatewayOpcodes.InvalidSession), d: z.boolean() });

const Ready = z.object({
  op: op(GatewayOpcodes.Dispatch),
  t: z.literal(GatewayDispatchEvents.Ready),
  s: sequence,
  // gatewayAddress decides whether the address may be used.
  d: z.looseObject({ session_id: z.string().min(1).max(MOST_SESSION_ID), resume_gateway_url: z.unknown().optional() }),
});

const Resumed = z.object({
  op: op(GatewayOpcodes.Dispatch),
  t: z.literal(GatewayDispatchEvents.Resumed),
  // Discord documents none for it.
  s: sequence.optional().catch(undefined),
  d: z.unknown().optional(),
});

const Dispatch = z.object({
  op: op(GatewayOpcodes.Dispatch),
  // Unknown types pass.
  t: z.string().min(1),
  s: sequence,
  d: z.custom<object | null>((value) => typeof value === 'object', 'expected an object, a list or null'),
});

/** Opcodes whose `d` is not needed, and those that a later version of the gateway adds. */
const Other = z.object({ op: z.int().nonnegative() });

export type Hello = z.infer<typeof Hello>;
export type ReadyDispatch = z.infer<typeof Ready>;
export type ResumedDispatch = z.infer<typeof Resumed>;
export type OtherDispatch = z.infer<typeof Dispatch>;
export type AnyDispatch = ReadyDispatch | ResumedDispatch | OtherDispatch;
export type Frame =
  | Hello
  | z.infer<typeof InvalidSession>
  | AnyDispatch
  | {
      readonly op: Exclude<
        GatewayOpcodes,
        GatewayOpcodes.Hello | GatewayOpcodes.InvalidSession | GatewayOpcodes.Dispatch
      >;
    };

/** How Discord writes a dispatch. This is not documented: a frame that is written otherwise is parsed completely. */
const USUAL_DISPATCH = /^\{"t":"(\w{1,64})","s":([1-9]\d{0,14}),"op":0,"d":[{[n]/;

export interface Unreadable {
  /** What was expected, and what came: a sentence that quotes nothing of the frame. */
  readonly reason: string;
  /** Without it a sequence would be missing. */
  readonly mayBeDispatch: boolean;
}

/** @param unwanted names of dispatches whose `d` is not parsed: presences and typing are most of a large bot's traffic */
export function parseFrame(text: string, unwanted: ReadonlySet<string> = new Set()): Frame | Unreadable {
  const [, t = '', s] = USUAL_DISPATCH.exec(text) ?? [];
  if (unwanted.has(t) && text.endsWith('}')) return { op: GatewayOpcodes.Dispatch, t, s: Number(s), d: null };
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    // The error quotes the text.
    return { reason: `expected JSON, got ${text.length} characters that are none`, mayBeDispatch: true };
  }
  if (typeof value !== 'object' || value === null) {
    const reason = `expected an object, got ${value === null ? value : `a ${typeof value}`}`;
    return { reason, mayBeDispatch: true };
  }
  const { name, schema } = expectedOf(value);
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data as Frame;
  const sentence = z
    .prettifyError(parsed.error)
    .replaceAll(/[✖\s]+/g, ' ')
    .trim();
  const mayBeDispatch = schema === Dispatch || schema === Other;
  return { reason: `${name}: ${sentence}`.slice(0, MOST_SENTENCE), mayBeDispatch };
}

function expectedOf({ op, t }: { readonly op?: unknown; readonly t?: unknown }): { name: string; schema: z.ZodType } {
  if (op === GatewayOpcodes.Hello) return { name: 'HELLO', schema: Hello };
  if (op === GatewayOpcodes.InvalidSession) return { name: 'op 9', schema: InvalidSession };
  if (op !== GatewayOpcodes.Dispatch) return { name: 'a frame', schema: Other };
  if (t === GatewayDispatchEvents.Ready) return { name: 'READY', schema: Ready };
  if (t === GatewayDispatchEvents.Resumed) return { name: 'RESUMED', schema: Resumed };
  return { name: 'a dispatch', schema: Dispatch };
}

export const isDispatch = (frame: Frame): frame is AnyDispatch => frame.op === GatewayOpcodes.Dispatch;
export const isReady = (frame: Frame): frame is ReadyDispatch =>
  isDispatch(frame) && frame.t === GatewayDispatchEvents.Ready;
export const isResumed = (frame: Frame): frame is ResumedDispatch =>
  isDispatch(frame) && frame.t === GatewayDispatchEvents.Resumed;
