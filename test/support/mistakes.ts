// The mistakes of the first ten minutes, each with the one sentence that the program prints; `…` stands for what differs. The
// README's table is made of them, and the tests make each mistake.

export const MISTAKES = {
  noToken: [
    'no token',
    "DISCORD_BOT_TOKEN: expected the bot's token, got nothing. Set it, or DISCORD_BOT_TOKEN_SECRET_ARN to the secret that holds it",
    "the token is in Discord's developer portal, under Bot",
  ],
  wrongToken: [
    'a wrong token',
    "Discord rejected the token (401). Put the bot's current token into DISCORD_BOT_TOKEN. This one is tried again at …",
    'reset it in the portal and copy it again; a secret is read again without a restart',
  ],
  intent: [
    'a privileged intent that is not switched on',
    "Discord has not granted one of the intents (4014): switch on 'Server Members Intent' in its developer portal (Bot, Privileged Gateway Intents), or choose no EVENTS that need GuildMembers (and remove it from GATEWAY_INTENTS, where that is set). Tried again at …",
    'no restart is needed',
  ],
  refused: [
    'a broker that does not run, or another port',
    'cannot reach the broker at … (ECONNREFUSED): nothing listens there. Start the broker, or correct host and port',
    'AMQP has port 5672, with TLS 5671',
  ],
  unknownHost: [
    'a host that does not exist, or that only another network knows',
    'cannot reach the broker at … (ENOTFOUND): no address is known for this host. Correct its name',
    '`getent hosts NAME` shows whether this machine knows it',
  ],
  selfSigned: [
    'a broker with a certificate of its own',
    'no trusted TLS connection to … (DEPTH_ZERO_SELF_SIGNED_CERT): give the certificate authority of the broker (RABBITMQ_CA_FILE, or --ca-file), and a host that its certificate names',
    'Amazon MQ needs none',
  ],
  noTls: [
    '`amqps://` to a listener without TLS',
    'no TLS at … (ERR_SSL_WRONG_VERSION_NUMBER): use the TLS listener (amqps://, port 5671), or amqp:// for one without TLS',
    'production accepts only TLS',
  ],
  wrongPassword: [
    'a wrong user or password',
    "the broker at … refuses the login of user '…' (ACCESS_REFUSED): the password is wrong, or there is no such user. Correct the login, or apply the topology, which creates the users",
    'special characters of a password are percent-encoded in an address',
  ],
  wrongVhost: [
    'a vhost that does not exist',
    "the broker at … has no vhost '…' (NOT_ALLOWED): name an existing one at the end of the address, or apply the topology, which creates it",
    'the address ends with `/discord`',
  ],
  noVhost: [
    'an address without its vhost',
    "the broker at … does not let user '…' into vhost '/' (NOT_ALLOWED): name its own vhost at the end of the address, or apply the topology, which gives the permission",
    'the address ends with `/discord`',
  ],
  noTopology: [
    'the topology is not applied, or the user lacks permissions',
    'cannot consume the lease queues (if one is missing or refused: apply the topology); retrying',
    "`npm run topology -- apply --url …`; the line's `err` has the broker's own words",
  ],
  portInUse: [
    'the port is in use',
    'PORT, HOST: cannot listen on … (listen EADDRINUSE: address already in use …). Choose another',
    '`PORT=0` takes a free one',
  ],
  oldNode: [
    'Node is too old',
    'expected Node 24.12 or newer, got …. Run npm ci, which brings it on Linux and Windows; on a Mac install Node 24',
    'an old `node service/main.ts` by hand fails with `ERR_UNKNOWN_FILE_EXTENSION` before any of our lines: use `npm start`',
  ],
  noRabbitMq: [
    'the demo finds neither RabbitMQ nor Docker',
    'no RabbitMQ can be started on this machine: install rabbitmq-server (4.x), or install and start Docker (…)',
    'the brackets say what was tried',
  ],
  noDocker: [
    'a deployment without Docker',
    'expected Docker, which builds the image of the service, got no answer of … version (…). Install Docker and start it, or name a program like it in CDK_DOCKER',
    'nothing has been created yet',
  ],
  noAws: [
    'a deployment without a login to AWS',
    'expected to read the deployed stacks from CloudFormation (DescribeStacks, GetTemplate), got …. Log in to AWS, and set AWS_REGION or the setting region',
    '`aws sso login`, or `AWS_PROFILE`',
  ],
} as const satisfies Record<string, readonly [mistake: string, sentence: string, advice: string]>;

const literal = (text: string): string => text.replaceAll(/[\\^$.*+?()[\]{}|]/g, '\\$&');

/** The whole of a text that the program printed. */
export function sentenceOf(mistake: keyof typeof MISTAKES): RegExp {
  return new RegExp(`^${MISTAKES[mistake][1].split('…').map(literal).join('.+')}$`);
}

/** As they stand in the README. */
export const MISTAKES_TABLE = [
  '| mistake | what you see | what to do |',
  '|---|---|---|',
  ...Object.values(MISTAKES).map(([mistake, sentence, advice]) => `| ${mistake} | \`${sentence}\` | ${advice} |`),
].join('\n');
