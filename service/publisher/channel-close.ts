// Why the broker closed a channel on which messages were published: each cause has its own answer. Pure.

/** As amqplib emits it: the reply code of AMQP's channel.close, and RabbitMQ's text in the message. */
interface ChannelError {
  readonly code?: unknown;
  readonly message: string;
}

export type CloseCause =
  /** A message is larger than the broker takes, which names its limit. */
  | { readonly kind: 'too large'; readonly mostBytes: number }
  /** The exchange is missing, or the permission to write to it: no message passes until the topology is applied. */
  | { readonly kind: 'topology' }
  /** Anything else may be about one message. */
  | { readonly kind: 'message' };

const TOO_LARGE = /message size \d+ is larger than configured max size (\d+)/;
const NOT_FOUND = 404;
const ACCESS_REFUSED = 403;
/** A topic permission is one for single routing keys. https://www.rabbitmq.com/docs/access-control#topic-authorisation */
const OF_A_KEY = /access to topic /;

export function closeCause({ code, message }: ChannelError): CloseCause {
  const [, bytes] = TOO_LARGE.exec(message) ?? [];
  if (bytes !== undefined) return { kind: 'too large', mostBytes: Number(bytes) };
  const isTopology = code === NOT_FOUND || (code === ACCESS_REFUSED && !OF_A_KEY.test(message));
  return { kind: isTopology ? 'topology' : 'message' };
}
