// A Lambda function that manages the broker as its administrator: Node 24 on ARM64 in the VPC, bundled by esbuild without
// Docker, with everything it needs inside (what was tested is what runs), and a log group that is removed with the stack.
import { writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { AssetHashType, DockerImage, type Duration, RemovalPolicy, Stack } from 'aws-cdk-lib';
import type { IVpc, SecurityGroup, SubnetSelection } from 'aws-cdk-lib/aws-ec2';
import { Architecture, Code, Function as LambdaFunction, Runtime } from 'aws-cdk-lib/aws-lambda';
import { LogGroup, RetentionDays } from 'aws-cdk-lib/aws-logs';
import type { ISecret } from 'aws-cdk-lib/aws-secretsmanager';
import type { Construct, IDependable } from 'constructs';
import { buildSync, type OutputFile } from 'esbuild';
import { MANAGEMENT_ENV } from './management/function-settings.ts';

/** What all such functions get. */
export interface BrokerFunctionProps {
  /** By the first user of each pair. */
  readonly logins: Readonly<Record<string, ISecret>>;
  readonly managementEndpoint: string;
  readonly administrator: ISecret;
  readonly vpc: IVpc;
  readonly subnets: SubnetSelection;
  readonly securityGroup: SecurityGroup;
  readonly environment: Readonly<Record<string, string>>;
  /** What must exist before the function can reach the broker and its secrets. */
  readonly after: readonly IDependable[];
}

interface Program {
  /** Absolute path of a `*.lambda.ts`, which exports `handler`. */
  readonly entry: string;
  readonly description: string;
  readonly timeout: Duration;
}

export class BrokerFunction extends LambdaFunction {
  constructor(scope: Construct, id: string, props: BrokerFunctionProps & Program) {
    const { entry, description, timeout, vpc, subnets, securityGroup, administrator } = props;
    super(scope, id, {
      ...{ description, timeout, vpc, vpcSubnets: subnets, securityGroups: [securityGroup] },
      code: Code.fromAsset(dirname(entry), {
        assetHashType: AssetHashType.OUTPUT,
        bundling: {
          // Never used: `local` always does it. But the library distinguishes bundles by what it would run there.
          image: DockerImage.fromRegistry('scratch'),
          command: [basename(entry)],
          local: {
            tryBundle(folder) {
              for (const { path, contents } of bundle(entry)) writeFileSync(join(folder, basename(path)), contents);
              return true;
            },
          },
        },
      }),
      handler: 'index.handler',
      runtime: Runtime.NODEJS_24_X,
      architecture: Architecture.ARM_64,
      memorySize: 256,
      environment: {
        NODE_OPTIONS: '--enable-source-maps',
        ...props.environment,
        [MANAGEMENT_ENV.managementUrl]: props.managementEndpoint,
        [MANAGEMENT_ENV.administratorSecretArn]: administrator.secretArn,
        [MANAGEMENT_ENV.loginSecretArns]: Stack.of(scope).toJsonString(arnsOf(props.logins)),
      },
      logGroup: new LogGroup(scope, `${id}Log`, {
        retention: RetentionDays.ONE_MONTH,
        removalPolicy: RemovalPolicy.DESTROY,
      }),
    });
    administrator.grantRead(this);
  }
}

export function arnsOf(logins: BrokerFunctionProps['logins']): Record<string, string> {
  return Object.fromEntries(Object.entries(logins).map(([user, { secretArn }]) => [user, secretArn]));
}

/** Shared by both environments and every test. */
const bundles = new Map<string, readonly OutputFile[]>();

function bundle(entry: string): readonly OutputFile[] {
  const files =
    bundles.get(entry) ??
    buildSync({
      entryPoints: [entry],
      outfile: 'index.js',
      bundle: true,
      write: false,
      platform: 'node',
      target: 'node24',
      // CommonJS, like some of the packages inside.
      format: 'cjs',
      minifySyntax: true,
      minifyWhitespace: true,
      legalComments: 'none',
      sourcemap: 'linked',
      sourcesContent: false,
      logLevel: 'error',
      // Of the paths in the source map: the same on every machine.
      absWorkingDir: join(import.meta.dirname, '..'),
    }).outputFiles;
  bundles.set(entry, files);
  return files;
}
