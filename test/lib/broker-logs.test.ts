// A log group of the broker that was deleted by hand: neither an update of the retention nor its rollback fails. The events are
// CloudFormation's, with the properties of the templates; the code is the library's, as it runs in Lambda, in its own
// process; CloudWatch Logs is a fake over HTTP.
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { createRequire } from 'node:module';
import type { AddressInfo } from 'node:net';
import { dirname, join } from 'node:path';
import { json } from 'node:stream/consumers';
import { promisify } from 'node:util';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { type Resource, type Synthesized, synthesized } from '../support/synthesized.ts';

const HANDLER = join(
  dirname(createRequire(import.meta.url).resolve('aws-cdk-lib')),
  'custom-resource-handlers/dist/custom-resources/aws-custom-resource-handler/index.js',
);
const GROUPS = ['general', 'connection', 'channel'].map((name) => `/aws/amazonmq/broker/b-1/${name}`);

/** Days of retention by log group; 0: indefinitely. */
const groups = new Map<string, number>();
let server: Server;
let before: Synthesized;
let after: Synthesized;

beforeAll(async () => {
  server = createServer(async (request, response) => {
    const action = String(request.headers['x-amz-target']).split('.')[1] ?? '';
    const error = logs(action, (await json(request)) as Parameters<typeof logs>[1]);
    response.writeHead(error ? 400 : 200, { 'content-type': 'application/x-amz-json-1.1' });
    response.end(JSON.stringify(error ? { __type: error, message: error } : {}));
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  before = synthesized('staging');
  after = synthesized('staging', { logRetentionDays: 30 });
});
afterAll(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});
beforeEach(() => groups.clear());

/** @returns the error's name, if it is one */
function logs(action: string, input: { logGroupName: string; retentionInDays: number }): string | undefined {
  const there = groups.has(input.logGroupName);
  if (action === 'CreateLogGroup') {
    if (there) return 'ResourceAlreadyExistsException';
    groups.set(input.logGroupName, 0);
  } else if (!there) {
    return 'ResourceNotFoundException';
  } else if (action === 'PutRetentionPolicy') {
    groups.set(input.logGroupName, input.retentionInDays);
  } else if (action === 'DeleteLogGroup') {
    groups.delete(input.logGroupName);
  } else {
    return 'InvalidParameterException';
  }
  return undefined;
}

/** As CloudFormation hands them over: texts joined, the broker's id in its place. */
function propertiesOf({ Properties }: Resource): Record<string, string> {
  const resolve = (value: unknown): string => {
    if (typeof value !== 'object' || value === null) return String(value);
    const { 'Fn::Join': joined, Ref } = value as { 'Fn::Join'?: [string, unknown[]]; Ref?: string };
    if (joined) return joined[1].map(resolve).join(joined[0]);
    return Ref === 'Broker9AB50882' ? 'b-1' : 'somewhere';
  };
  return Object.fromEntries(Object.entries(Properties).map(([name, value]) => [name, resolve(value)]));
}

/** Those of a type, in the order in which the template's dependencies have them called. */
function calls({ ofType }: Synthesized): { properties: Record<string, string> }[] {
  return ['Custom::BrokerLogGroup', 'Custom::BrokerLogRetention'].flatMap((type) =>
    ofType(type).map(([, resource]) => ({ properties: propertiesOf(resource) })),
  );
}

const request = (RequestType: string, some: Synthesized) =>
  calls(some).map(({ properties }) => ({ RequestType, ResourceProperties: properties }));

/** Only what differs is called. */
const update = (from: Synthesized, to: Synthesized) => {
  const [old, wanted] = [request('Update', from), request('Update', to)];
  return wanted.filter((call, index) => JSON.stringify(call) !== JSON.stringify(old[index]));
};

/** What the function answers CloudFormation, event by event. The answer goes nowhere: what it logs of it is read. */
async function answers(list: readonly object[]): Promise<string[]> {
  const ids = { StackId: 's', RequestId: 'r', LogicalResourceId: 'l', PhysicalResourceId: 'p' };
  const common = { ResponseURL: 'https://127.0.0.1/', OldResourceProperties: {}, ...ids };
  const script = `(async () => {
    for (const event of JSON.parse(process.argv[2])) {
      console.log('event');
      await require(process.argv[1]).handler(event, { logStreamName: 'stream' }).catch(() => {});
    }
  })()`;
  const { port } = server.address() as AddressInfo;
  const { stdout } = await promisify(execFile)(
    process.execPath,
    ['-e', script, HANDLER, JSON.stringify(list.map((event) => ({ ...common, ...event })))],
    {
      env: {
        AWS_ENDPOINT_URL_CLOUDWATCH_LOGS: `http://127.0.0.1:${port}`,
        AWS_REGION: 'eu-central-1',
        AWS_ACCESS_KEY_ID: 'AKIDEXAMPLE',
        AWS_SECRET_ACCESS_KEY: 'none',
      },
    },
  );
  const each = stdout.split(/^event$/m).slice(1);
  return each.map((text) => /^Responding \{"Status":"(\w+)"/m.exec(text)?.[1] ?? text);
}

const SIX = Array.from({ length: 6 }, () => 'SUCCESS');
const kept = (days: number) => new Map(GROUPS.map((name) => [name, days]));

it('are made with a retention, also where Amazon MQ was first', async () => {
  groups.set(GROUPS[0] ?? '', 0);
  expect(await answers(request('Create', before))).toEqual(SIX);
  expect(groups).toEqual(kept(14));
});

it('deleted by hand, they are made again by an update, and by its rollback', async () => {
  expect(await answers(update(before, after))).toEqual(SIX);
  expect(groups).toEqual(kept(30));
  groups.clear();
  expect(await answers(update(after, before))).toEqual(SIX);
  expect(groups).toEqual(kept(14));
});

it('are not touched by an update of something else', () => {
  expect(update(before, synthesized('staging', { shards: { count: 2 } }))).toEqual([]);
});

it('go with staging, whether they are still there or not', async () => {
  await answers(request('Create', before));
  groups.delete(GROUPS[1] ?? '');
  expect(await answers(request('Delete', before).toReversed())).toEqual(SIX);
  expect(groups.size).toBe(0);
});
