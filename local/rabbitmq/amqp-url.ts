// The AMQP URL of a login: what is special in a URL is escaped, the vhost's slash too. Pure.

export function amqpUrl(
  endpoint: { tls: boolean; host: string; port: number },
  login: { username: string; password: string; vhost?: string | undefined },
): string {
  const scheme = endpoint.tls ? 'amqps' : 'amqp';
  const user = `${encodeURIComponent(login.username)}:${encodeURIComponent(login.password)}`;
  const vhost = login.vhost === undefined ? '' : `/${encodeURIComponent(login.vhost)}`;
  return `${scheme}://${user}@${endpoint.host}:${endpoint.port}${vhost}`;
}
