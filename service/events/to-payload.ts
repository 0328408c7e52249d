// The door of the room: one dispatch in, one Outcome out. It never throws, whatever Discord sends, because a dispatch
// that stopped the process would be replayed to the next one. The only thing it touches is the session's GuildPresence,
// whose answers do not change when a dispatch is replayed.

import { GatewayDispatchEvents } from 'discord-api-types/v10';
import { guildCreate, guildDelete, ready } from './guild.ts';
import { interactionCreate } from './interaction.ts';
import { memberJoin, memberLeave, memberUpdate } from './member.ts';
import { messageCreate } from './message.ts';
import { type DispatchContext, FILTERED, type Outcome, unknown } from './outcome.ts';
import { Malformed } from './untrusted.ts';

export interface Dispatch {
  readonly t: string;
  readonly d: unknown;
  readonly s?: number;
}

export function toPayload(dispatch: Dispatch, context: DispatchContext): Outcome {
  try {
    return read(dispatch, context);
  } catch (error) {
    if (error instanceof Malformed) return unknown(error.message);
    // A mapper's own defect. Its message may quote the payload, so only its kind is told.
    return unknown(`could not be read: ${error instanceof Error ? error.name : typeof error} in the mapper; report it`);
  }
}

function read({ t, d }: Dispatch, context: DispatchContext): Outcome {
  switch (t) {
    case GatewayDispatchEvents.MessageCreate:
      return messageCreate(d, context);
    case GatewayDispatchEvents.InteractionCreate:
      return interactionCreate(d, context);
    case GatewayDispatchEvents.GuildMemberAdd:
      return memberJoin(d, context);
    case GatewayDispatchEvents.GuildMemberRemove:
      return memberLeave(d, context);
    case GatewayDispatchEvents.GuildMemberUpdate:
      return memberUpdate(d, context);
    case GatewayDispatchEvents.GuildCreate:
      return guildCreate(d, context);
    case GatewayDispatchEvents.GuildDelete:
      return guildDelete(d, context);
    case GatewayDispatchEvents.Ready:
      return ready(d, context);
    case GatewayDispatchEvents.Resumed:
      return FILTERED.session;
    default:
      return KNOWN.has(t) ? FILTERED.notAsked : unknown('a dispatch that this version has never heard of');
  }
}

const KNOWN: ReadonlySet<string> = new Set(Object.values(GatewayDispatchEvents));
