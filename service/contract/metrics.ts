// Every metric that the service publishes. Alarms and the dashboard may name no other.

export interface Metric {
  /** Name in `GET /metrics`. */
  readonly prometheus: string;
  /** Name in CloudWatch (embedded metric format). */
  readonly cloudWatch: string;
  /** A counter is written to CloudWatch as its growth since the last minute; a summary as a sample of its values. */
  readonly kind: 'counter' | 'gauge' | 'summary';
  /** CloudWatch's unit. */
  readonly unit: 'Count' | 'Bytes' | 'Milliseconds' | 'Percent' | 'Seconds';
  readonly help: string;
  /** A label beside the environment, of few values: it becomes a CloudWatch dimension. */
  readonly label?: 'Queue';
  /** A counter whose alarm is on at 1: it is written when it rises, not only at the end of the minute. */
  readonly atOnce?: true;
  /** All tasks have the same value. @default - of the task */
  readonly of?: 'bot';
}

export const METRICS = {
  eventsReceived: counter('events_received_total', 'EventsReceived', 'Dispatches received from Discord'),
  eventsFiltered: counter('events_filtered_total', 'EventsFiltered', 'Dispatches that are not for workers'),
  eventsUnknown: urgent('events_unknown_total', 'EventsUnknown', 'Dispatches malformed or of an unknown type'),
  unknownFields: counter('unknown_fields_total', 'UnknownFields', 'Unknown fields of messages, removed'),
  eventsPublished: counter('events_published_total', 'EventsPublished', 'Messages written to the broker, with repeats'),
  eventsConfirmed: counter('events_confirmed_total', 'EventsConfirmed', 'Messages confirmed by the broker'),
  eventsReturned: urgent('events_returned_total', 'EventsReturned', 'Messages that no queue takes'),
  publishErrors: urgent('publish_errors_total', 'PublishErrors', 'Messages refused by the broker, published again'),
  messagesDropped: urgent('messages_dropped_total', 'MessagesDropped', 'Messages the broker does not take, dropped'),
  brokerReconnects: counter('broker_reconnects_total', 'BrokerReconnects', 'Connections to the broker opened again'),
  gatewayGaps: urgent('gateway_gaps_total', 'GatewayGaps', 'Sessions lost, so that events may be missing'),
  gapsInHandOver: urgent(
    'gateway_gaps_in_hand_over_total',
    'GatewayGapsInHandOver',
    'Of these: sessions alive at their hand-over, and then refused',
  ),
  invalidFrames: counter(
    'frames_invalid_total',
    'FramesInvalid',
    'Malformed frames of the gateway: their connection ended, or they were left out',
  ),
  sequenceHoles: counter(
    'sequence_holes_total',
    'SequenceHoles',
    'Dispatches whose sequence was not the next one of their session',
  ),
  addressesRefused: counter(
    'gateway_addresses_refused_total',
    'GatewayAddressesRefused',
    "Addresses of the gateway that the bot's token is not sent to",
  ),
  identifies: counter('identifies_total', 'Identifies', 'IDENTIFYs sent'),
  resumes: counter('resumes_total', 'Resumes', 'RESUMEs sent'),
  commandsSent: counter('commands_sent_total', 'CommandsSent', 'Commands of workers sent to Discord'),
  commandsRefused: counter(
    'commands_refused_total',
    'CommandsRefused',
    'Commands of workers that were faulty, or expired: dead-lettered, with the reason',
  ),
  leaseCommits: counter('lease_commits_total', 'LeaseCommits', 'Group records stored'),
  leaseLosses: counter('lease_losses_total', 'LeaseLosses', 'Leases that went to another task'),
  outboxEvents: gauge('outbox_events', 'OutboxEvents', 'Events not confirmed'),
  outboxBytes: gauge('outbox_bytes', 'OutboxBytes', 'Bytes not confirmed', 'Bytes'),
  outboxUsed: gauge('outbox_used_percent', 'OutboxUsed', 'The outbox, by the fuller of its two bounds', 'Percent'),
  oldestUnconfirmed: gauge(
    'oldest_unconfirmed_seconds',
    'OldestUnconfirmed',
    'Age of the oldest event not confirmed, or group record not delivered back; 0 without any',
    'Seconds',
  ),
  shardsAssigned: gauge('shards_assigned', 'ShardsAssigned', 'Shards whose lease this task holds'),
  shardsConnected: gauge('shards_connected', 'ShardsConnected', 'Shards connected'),
  shardsMissing: gauge('shards_missing', 'ShardsMissing', 'Shards assigned but not connected'),
  shardsConfigured: gauge('shards_configured', 'ShardsConfigured', 'Shards of the bot: SHARD_COUNT'),
  shardsWaiting: gauge(
    'shards_waiting',
    'ShardsWaiting',
    'Shards not connected for a reason outside the release: no token yet, IDENTIFY not yet allowed, broker blocked',
  ),
  shardsUnderprovisioned: gauge(
    'shards_underprovisioned',
    'ShardsUnderprovisioned',
    'Shards that Discord recommends beyond SHARD_COUNT',
  ),
  gatewayLatency: gauge(
    'gateway_latency_milliseconds',
    'GatewayLatency',
    'Slowest heartbeat of the shards',
    'Milliseconds',
  ),
  identifiesRemaining: {
    ...gauge('identifies_remaining', 'IdentifiesRemaining', "IDENTIFYs left of Discord's daily budget"),
    of: 'bot',
  },
  invalidRequests: gauge(
    'discord_invalid_requests',
    'DiscordInvalidRequests',
    "Requests that Discord's REST refused with 401, 403 or 429 in the last 10 minutes; it bans at 10,000",
  ),
  restUnanswered: gauge(
    'discord_rest_unanswered',
    'DiscordRestUnanswered',
    "1 while Discord's REST refuses what the task needs, or gives no usable answer",
  ),
  brokerConnected: gauge(
    'broker_connected',
    'BrokerConnected',
    '1 while both connections to the broker and the publishing channels are open',
  ),
  brokerBlocked: gauge(
    'broker_blocked',
    'BrokerBlocked',
    '1 while the broker blocks publishers (memory or disk alarm)',
  ),
  standby: gauge('standby', 'Standby', '1 while this task waits for a lease and would get it'),
  heapUsed: gauge('heap_used_percent', 'HeapUsed', "Heap used of V8's limit", 'Percent'),
  residentMemory: gauge('resident_memory_bytes', 'ResidentMemory', 'Resident set size', 'Bytes'),
  frameToConfirm: metric(
    'summary',
    'frame_to_confirm_milliseconds',
    'FrameToConfirm',
    'Milliseconds',
    'From the gateway frame to the confirm of the broker',
  ),
  queueDepth: { ...gauge('queue_depth', 'QueueDepth', 'Messages ready in a queue'), label: 'Queue' },
  queueConsumers: { ...gauge('queue_consumers', 'QueueConsumers', 'Consumers of a queue'), label: 'Queue' },
} as const satisfies Record<string, Metric>;

function metric<const Kind extends Metric['kind']>(
  kind: Kind,
  prometheus: string,
  cloudWatch: string,
  unit: Metric['unit'],
  help: string,
): Metric & { readonly kind: Kind } {
  return { prometheus: `ingestor_${prometheus}`, cloudWatch, kind, unit, help };
}

function counter(prometheus: string, cloudWatch: string, help: string) {
  return metric('counter', prometheus, cloudWatch, 'Count', help);
}

/** Its alarm is on at 1. */
function urgent(prometheus: string, cloudWatch: string, help: string) {
  return { ...counter(prometheus, cloudWatch, help), atOnce: true } as const;
}

function gauge(prometheus: string, cloudWatch: string, help: string, unit: Metric['unit'] = 'Count') {
  return metric('gauge', prometheus, cloudWatch, unit, help);
}

/** CloudWatch dimension that every metric carries. */
export const ENVIRONMENT_DIMENSION = 'Environment';
export const DEFAULT_METRICS_NAMESPACE = 'DiscordIngestor';
/** How often the registry is written as embedded metric format. */
export const METRICS_PERIOD_SECONDS = 60;
