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
}

export const METRICS = {
  eventsReceived: metric(
    'events_received_total',
    'EventsReceived',
    'counter',
    'Count',
    'Dispatches received from Discord',
  ),
  eventsFiltered: metric(
    'events_filtered_total',
    'EventsFiltered',
    'counter',
    'Count',
    'Dispatches that workers do not want',
  ),
  eventsUnknown: metric(
    'events_unknown_total',
    'EventsUnknown',
    'counter',
    'Count',
    'Dispatches that could not be understood',
  ),
  unknownFields: metric(
    'unknown_fields_total',
    'UnknownFields',
    'counter',
    'Count',
    'Fields of messages that this version does not know, removed',
  ),
  eventsReplayed: metric(
    'events_replayed_total',
    'EventsReplayed',
    'counter',
    'Count',
    'Dispatches replayed by a RESUME although still in the outbox, dropped',
  ),
  eventsPublished: metric(
    'events_published_total',
    'EventsPublished',
    'counter',
    'Count',
    'Messages written to the broker, repeats included',
  ),
  eventsConfirmed: metric(
    'events_confirmed_total',
    'EventsConfirmed',
    'counter',
    'Count',
    'Messages confirmed by the broker',
  ),
  eventsReturned: metric('events_returned_total', 'EventsReturned', 'counter', 'Count', 'Messages that no queue takes'),
  publishErrors: metric(
    'publish_errors_total',
    'PublishErrors',
    'counter',
    'Count',
    'Messages refused by the broker and published again',
  ),
  brokerReconnects: metric(
    'broker_reconnects_total',
    'BrokerReconnects',
    'counter',
    'Count',
    'Connections to the broker opened again',
  ),
  gatewayGaps: metric(
    'gateway_gaps_total',
    'GatewayGaps',
    'counter',
    'Count',
    'Sessions lost, so that events may be missing',
  ),
  gapsInHandOver: metric(
    'gateway_gaps_in_hand_over_total',
    'GatewayGapsInHandOver',
    'counter',
    'Count',
    'Of these: sessions that lived when they were handed over, and were refused',
  ),
  identifies: metric('identifies_total', 'Identifies', 'counter', 'Count', 'IDENTIFYs sent'),
  resumes: metric('resumes_total', 'Resumes', 'counter', 'Count', 'Sessions resumed'),
  leaseCommits: metric('lease_commits_total', 'LeaseCommits', 'counter', 'Count', 'Session records committed'),
  leaseLosses: metric('lease_losses_total', 'LeaseLosses', 'counter', 'Count', 'Leases that went to another task'),
  outboxEvents: metric('outbox_events', 'OutboxEvents', 'gauge', 'Count', 'Events not yet confirmed'),
  outboxBytes: metric('outbox_bytes', 'OutboxBytes', 'gauge', 'Bytes', 'Bytes not yet confirmed'),
  outboxUsed: metric('outbox_used_percent', 'OutboxUsed', 'gauge', 'Percent', 'Fullest of the two outbox bounds'),
  shardsAssigned: metric('shards_assigned', 'ShardsAssigned', 'gauge', 'Count', 'Shards this task holds the lease of'),
  shardsConnected: metric('shards_connected', 'ShardsConnected', 'gauge', 'Count', 'Shards with a live session'),
  shardsMissing: metric('shards_missing', 'ShardsMissing', 'gauge', 'Count', 'Shards assigned but not connected'),
  shardsConfigured: metric('shards_configured', 'ShardsConfigured', 'gauge', 'Count', 'Shards of the bot: SHARD_COUNT'),
  shardsWaiting: metric(
    'shards_waiting',
    'ShardsWaiting',
    'gauge',
    'Count',
    'Shards not connected for a reason that no release can be blamed for: no token yet, IDENTIFY not yet allowed, broker blocked',
  ),
  shardsUnderprovisioned: metric(
    'shards_underprovisioned',
    'ShardsUnderprovisioned',
    'gauge',
    'Count',
    'Shards that Discord recommends beyond SHARD_COUNT',
  ),
  gatewayLatency: metric(
    'gateway_latency_milliseconds',
    'GatewayLatency',
    'gauge',
    'Milliseconds',
    'Slowest heartbeat of the shards',
  ),
  identifiesRemaining: metric(
    'identifies_remaining',
    'IdentifiesRemaining',
    'gauge',
    'Count',
    "IDENTIFYs left of Discord's daily budget",
  ),
  brokerConnected: metric(
    'broker_connected',
    'BrokerConnected',
    'gauge',
    'Count',
    '1 while the publishing channel is open',
  ),
  brokerBlocked: metric(
    'broker_blocked',
    'BrokerBlocked',
    'gauge',
    'Count',
    '1 while the broker refuses publishers (memory or disk alarm)',
  ),
  standby: metric('standby', 'Standby', 'gauge', 'Count', '1 while this task waits for a lease'),
  heapUsed: metric('heap_used_percent', 'HeapUsed', 'gauge', 'Percent', "Heap used of V8's limit"),
  residentMemory: metric('resident_memory_bytes', 'ResidentMemory', 'gauge', 'Bytes', 'Resident set size'),
  frameToConfirm: metric(
    'frame_to_confirm_milliseconds',
    'FrameToConfirm',
    'summary',
    'Milliseconds',
    'From the gateway frame to the confirm of the broker',
  ),
  queueDepth: metric('queue_depth', 'QueueDepth', 'gauge', 'Count', 'Messages ready in a queue', 'Queue'),
} as const satisfies Record<string, Metric>;

function metric<const Kind extends Metric['kind']>(
  prometheus: string,
  cloudWatch: string,
  kind: Kind,
  unit: Metric['unit'],
  help: string,
  label?: Metric['label'],
): Metric & { readonly kind: Kind } {
  return { prometheus: `ingestor_${prometheus}`, cloudWatch, kind, unit, help, ...(label && { label }) };
}

/** CloudWatch dimension that every metric carries. */
export const ENVIRONMENT_DIMENSION = 'Environment';
export const DEFAULT_METRICS_NAMESPACE = 'DiscordIngestor';
/** How often the registry is written as embedded metric format. */
export const METRICS_PERIOD_SECONDS = 60;
