// Why a connection to the broker fails, as one sentence that says what to change. It keeps the system's code or the broker's
// text. Pure. lib/management/management-api.ts has the sentences of the management API.

import type { Options } from 'amqplib';
import { errorMessage } from '../errors.ts';

/** As amqplib takes it: `vhost` is percent-encoded. */
export type Attempt = Required<Pick<Options.Connect, 'protocol' | 'hostname' | 'port' | 'vhost' | 'username'>>;

/** @param closed the broker's reason for closing the connection @returns the error itself where there is no better sentence */
export function connectFailure(
  error: unknown,
  attempt: Attempt,
  closed?: { readonly code: number; readonly text: string },
): unknown {
  const sentence = closed ? refusal(closed, attempt) : failure(error, attempt);
  return sentence === undefined ? error : new Error(sentence, { cause: error });
}

function refusal({ code, text }: { code: number; text: string }, { username, vhost: encoded, ...to }: Attempt): string {
  const at = `the broker at ${to.hostname}:${to.port}`;
  const vhost = decodeURIComponent(encoded);
  if (code === 403)
    return `${at} refuses the login of user '${username}' (ACCESS_REFUSED): the password is wrong, or there is no such user. Correct the login, or apply the topology, which creates the users`;
  if (/vhost .* not found/.test(text))
    return `${at} has no vhost '${vhost}' (NOT_ALLOWED): name an existing one at the end of the address, or apply the topology, which creates it`;
  if (/access to vhost .* refused/.test(text))
    return `${at} does not let user '${username}' into vhost '${vhost}' (NOT_ALLOWED): name its own vhost at the end of the address, or apply the topology, which gives the permission`;
  return `the broker refuses the connection: ${code} ${text}`;
}

function failure(error: unknown, { hostname, port, protocol }: Attempt): string | undefined {
  // A host with two addresses fails twice, in one AggregateError.
  const first = error instanceof AggregateError ? (error.errors[0] as unknown) : error;
  const code = first instanceof Error && 'code' in first ? String(first.code) : '';
  const at = `${hostname}:${port}`;
  if (/SSL_|EPROTO$/.test(code))
    return `no TLS at ${at} (${code}): use the TLS listener (amqps://, port 5671), or amqp:// for one without TLS`;
  if (/^ERR_TLS_|CERT|SIGNATURE|ISSUER/.test(code))
    return `no trusted TLS connection to ${at} (${code}): give the certificate authority of the broker (RABBITMQ_CA_FILE, or --ca-file), and a host that its certificate names`;
  if (code === 'ECONNREFUSED')
    return `cannot reach the broker at ${at} (${code}): nothing listens there. Start the broker, or correct host and port`;
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN')
    return `cannot reach the broker at ${at} (${code}): no address is known for this host. Correct its name`;
  if (/^E[A-Z]+$/.test(code)) return `cannot reach the broker at ${at} (${code}): check host, port and firewall`;
  if (/^Socket closed abruptly during opening handshake/.test(errorMessage(first)))
    return `${at} ended the connection in the handshake: expected RabbitMQ${protocol === 'amqps' ? '' : ' without TLS'}, so check host and port, and amqps:// for a TLS listener`;
  return undefined;
}
