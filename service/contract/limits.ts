// The numbers that the deployer (lib/), the deployed (service/) and the tests must agree on.

/** Exit code for a faulty configuration: EX_CONFIG of sysexits.h. */
export const EXIT_CONFIG = 78;

/**
 * V8's young generation, kept small. Everything here is short-lived, and message bodies lie outside the heap: with
 * Node's own size they wait for a collection that seldom comes (355 MiB resident after 76,000 events instead of 131).
 */
export const NODE_FLAGS = ['--max-semi-space-size=4'] as const;

export const DEFAULT_PORT = 8080;

/** ECS `stopTimeout`: the time between SIGTERM and SIGKILL. 120 s is Fargate's maximum. */
export const STOP_TIMEOUT_SECONDS = 120;
/** What the service allows itself of it; the rest is for the process's own exit. */
export const DRAIN_DEADLINE_SECONDS = 110;

/** RabbitMQ 4's default for the largest message (`max_message_size`). Source: Amazon MQ, default limits. */
export const MAX_MESSAGE_BYTES = 524_288;
