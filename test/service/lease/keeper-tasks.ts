// Tasks of the lease on a real broker: the keeper and what it runs on, with shards that only remember what they are asked.

import type { ChannelModel } from 'amqplib';
import { ChannelSet } from '../../../service/amqp/channel-set.ts';
import { ConfirmDeadline, publishClaim } from '../../../service/amqp/confirm-deadline.ts';
import { BrokerConnection } from '../../../service/amqp/connection.ts';
import { EXCHANGES, LEASE_QUEUE_ARGUMENTS } from '../../../service/contract/names.ts';
import { LeaseKeeper } from '../../../service/lease/lease-keeper.ts';
import type { ShardGroup } from '../../../service/lease/take-over.ts';
import type { LostSession } from '../../../service/lost-session.ts';
import { fixedLogin } from '../../support/broker-client.ts';
import { eventually, type LogLines, logLines } from '../../support/log-lines.ts';
import { resumeState } from './records.ts';

export const TIMING = {
  ...{ claimWaitMs: 200, recordWaitMs: 10, standbyDelayMs: 600, retryMs: 200, commitEveryMs: 50 },
  ...{ silenceMs: 400, unnoticedMs: 800, standbyClaimMs: 100, proofMs: 2_000, unreachableMs: 300 },
};

export interface Task {
  readonly me: string;
  readonly connection: BrokerConnection;
  readonly keeper: LeaseKeeper<ChannelModel>;
  readonly lines: LogLines;
  /** What happened, in order: 'own 0', 'step down'. */
  readonly happened: string[];
  readonly taken: ShardGroup[];
  readonly lost: LostSession[];
  /** What it has to store. */
  sequence: number;
  /** The sequence of the record that was delivered back last. */
  storedSequence: number | undefined;
  connected: number;
  unreachableSince: number | undefined;
}

/** A task of its own connection, so that it can be cut by itself. */
export function startTask(me: string, url: string, shardLayout = { shardCount: 1, shardsPerTask: 1 }): Task {
  const lines = logLines();
  const { log } = lines;
  const connection = new BrokerConnection({ name: me, login: fixedLogin(url), log });
  const claim = (model: ChannelModel) => publishClaim(model, keeper.group ?? 0);
  const deadline = new ConfirmDeadline<ChannelModel>({ connection, claim, firstMs: 500, log });
  const keeper: Task['keeper'] = new LeaseKeeper({
    ...{ connection, me, log, timing: TIMING, metrics: { add: () => undefined } },
    shardLayout,
    brokerAway: () => !connection.connected,
    openChannels: (model: ChannelModel) =>
      ChannelSet.open(model, {
        exchange: EXCHANGES.leases,
        queueArguments: LEASE_QUEUE_ARGUMENTS,
        deadline,
        log,
      }),
    gaps: { unreportedGaps: [], report: async (lost) => void made.lost.push(...lost) },
    shards: {
      stored: (sessions) => {
        made.storedSequence = sessions[String(keeper.group)]?.sequence;
      },
      get sessions() {
        return { [String(keeper.group)]: resumeState({ shardCount: 1, sequence: made.sequence }) };
      },
      own(group) {
        const [shardId = -1] = group.shardIds;
        made.happened.push(`own ${shardId}`);
        made.taken.push(group);
        made.sequence = group.sessions.get(shardId)?.sequence ?? 1;
      },
      get connected() {
        return made.connected;
      },
      get untaken() {
        return made.connected;
      },
      get unreachableSince() {
        return made.unreachableSince;
      },
      stepDown: async () => void made.happened.push('step down'),
    },
  });
  const made: Task = {
    me,
    connection,
    keeper,
    lines,
    happened: [],
    taken: [],
    lost: [],
    sequence: 0,
    storedSequence: undefined,
    connected: 0,
    unreachableSince: undefined,
  };
  connection.start();
  keeper.start();
  return made;
}

export const owner = async (of: Task) => void (await eventually('it is the owner', () => of.happened.length > 0));
export const ready = async (of: Task) => void (await eventually('it stands by', () => of.keeper.detail.ready === true));
const isStored = ({ state, commit, storedAt }: LeaseKeeper<ChannelModel>['detail']) =>
  state === 'owner' && Number(commit) > 0 && storedAt !== null;
export const stored = async (of: Task) =>
  void (await eventually('its record is stored', () => isStored(of.keeper.detail)));
export const sequenceOf = (of: Task, shard = 0) => of.taken[0]?.sessions.get(shard)?.sequence;
