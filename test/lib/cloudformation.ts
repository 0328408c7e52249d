// The part of AWS that the check before a deployment uses: CloudFormation's stacks and templates, the account of the credentials
// and the region's zones, each in its own query protocol over HTTP. It records every action, and refuses unknown ones.
import { createServer } from 'node:http';
import { text as readText } from 'node:stream/consumers';
import { listening } from '../support/fake-servers.ts';

export interface DeployedStack {
  readonly status: string;
  readonly tags?: Readonly<Record<string, string>>;
  readonly template?: unknown;
}

export interface CloudFormation {
  readonly url: string;
  readonly stacks: Map<string, DeployedStack>;
  /** Names of the called actions, in order. */
  readonly actions: string[];
  /** Names of the region's availability zones. */
  zones: readonly string[];
  /** While set, every answer is an error with this code. */
  refusal: string | undefined;
  /** No stack, in a region with three zones. */
  reset(): void;
  stop(): Promise<void>;
}

const ACCOUNT = '111122223333';

export async function startCloudFormation(): Promise<CloudFormation> {
  const answer = (action: string, name: string, region: string): [number, string] => {
    if (aws.refusal !== undefined) return [403, failure(aws.refusal, 'not allowed')];
    if (action === 'GetCallerIdentity') return [200, result(action, `<Account>${ACCOUNT}</Account>`)];
    if (action === 'DescribeAvailabilityZones') return [200, zonesOf(aws.zones)];
    const stack = aws.stacks.get(name);
    if (action !== 'DescribeStacks' && action !== 'GetTemplate') {
      return [400, failure('InvalidAction', `unknown action ${action}`)];
    }
    if (!stack) return [400, failure('ValidationError', `Stack with id ${name} does not exist`)];
    const template = text(JSON.stringify(stack.template ?? {}));
    if (action === 'GetTemplate') return [200, result(action, `<TemplateBody>${template}</TemplateBody>`)];
    const tags = Object.entries(stack.tags ?? {}).map(
      ([key, value]) => `<member><Key>${text(key)}</Key><Value>${text(value)}</Value></member>`,
    );
    const id = `arn:aws:cloudformation:${region}:${ACCOUNT}:stack/${name}/0a1b2c3d-1111-2222-3333-444455556666`;
    const fields = [
      `<StackId>${id}</StackId><StackName>${name}</StackName><StackStatus>${stack.status}</StackStatus>`,
      `<CreationTime>2026-11-01T00:00:00.000Z</CreationTime><Tags>${tags.join('')}</Tags>`,
    ];
    return [200, result(action, `<Stacks><member>${fields.join('')}</member></Stacks>`)];
  };

  const server = createServer(async (request, response) => {
    const form = new URLSearchParams(await readText(request));
    const action = form.get('Action') ?? `${request.method} ${request.url}`;
    aws.actions.push(action);
    // Signed for a region: `Credential=<key>/<date>/<region>/cloudformation/aws4_request`.
    const region = /Credential=[^/]+\/\d+\/([^/]+)\//.exec(request.headers.authorization ?? '')?.[1] ?? 'none';
    const [status, xml] = answer(action, form.get('StackName') ?? '', region);
    response.writeHead(status, { 'content-type': 'text/xml' }).end(xml);
  });
  const { port, close: stop } = await listening(server);
  const aws: CloudFormation = {
    stop,
    url: `http://127.0.0.1:${port}`,
    stacks: new Map(),
    actions: [],
    zones: [],
    refusal: undefined,
    reset() {
      aws.stacks.clear();
      aws.actions.length = 0;
      aws.zones = ['eu-central-1a', 'eu-central-1b', 'eu-central-1c'];
      aws.refusal = undefined;
    },
  };
  return aws;
}

const result = (action: string, inner: string): string =>
  `<${action}Response ${XMLNS}><${action}Result>${inner}</${action}Result></${action}Response>`;

/** EC2's protocol has no result element. */
const zonesOf = (names: readonly string[]): string =>
  `<R><availabilityZoneInfo>${names.map((name) => `<item><zoneName>${name}</zoneName></item>`).join('')}</availabilityZoneInfo></R>`;

const failure = (code: string, message: string): string =>
  `<ErrorResponse ${XMLNS}><Error><Code>${code}</Code><Message>${message}</Message></Error></ErrorResponse>`;

const XMLNS = 'xmlns="http://cloudformation.amazonaws.com/doc/2010-05-15/"';

function text(value: string): string {
  return value.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
}
