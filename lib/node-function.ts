// A Lambda function of this product: Node 24 on ARM64, bundled by esbuild without Docker, with everything it needs inside
// (what was tested is what runs), in the VPC, with a log group that is removed with the stack.
import { writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { AssetHashType, DockerImage, Duration, RemovalPolicy } from 'aws-cdk-lib';
import type { IVpc, SecurityGroup, SubnetSelection } from 'aws-cdk-lib/aws-ec2';
import { Architecture, Code, Function as LambdaFunction, Runtime } from 'aws-cdk-lib/aws-lambda';
import { LogGroup, RetentionDays } from 'aws-cdk-lib/aws-logs';
import type { Construct } from 'constructs';
import { buildSync } from 'esbuild';

export interface NodeFunctionProps {
  /** Absolute path of a `*.lambda.ts`, which exports `handler`. */
  readonly entry: string;
  readonly description: string;
  /** @default - ten seconds */
  readonly timeout?: Duration;
  readonly environment?: Readonly<Record<string, string>>;
  readonly vpc: IVpc;
  readonly subnets: SubnetSelection;
  readonly securityGroup: SecurityGroup;
}

export class NodeFunction extends LambdaFunction {
  constructor(scope: Construct, id: string, props: NodeFunctionProps) {
    super(scope, id, {
      code: Code.fromAsset(dirname(props.entry), {
        assetHashType: AssetHashType.OUTPUT,
        bundling: {
          // Never used: `local` always does it. But the library distinguishes bundles by what it would run there.
          image: DockerImage.fromRegistry('scratch'),
          command: [basename(props.entry)],
          local: {
            tryBundle(folder) {
              for (const { name, contents } of bundle(props.entry)) writeFileSync(join(folder, name), contents);
              return true;
            },
          },
        },
      }),
      handler: 'index.handler',
      description: props.description,
      runtime: Runtime.NODEJS_24_X,
      architecture: Architecture.ARM_64,
      memorySize: 256,
      timeout: props.timeout ?? Duration.seconds(10),
      environment: { NODE_OPTIONS: '--enable-source-maps', ...props.environment },
      vpc: props.vpc,
      vpcSubnets: props.subnets,
      securityGroups: [props.securityGroup],
      logGroup: new LogGroup(scope, `${id}Log`, {
        retention: RetentionDays.ONE_MONTH,
        removalPolicy: RemovalPolicy.DESTROY,
      }),
    });
  }
}

interface File {
  readonly name: string;
  readonly contents: Uint8Array;
}

/** Shared by both environments and every test. */
const bundles = new Map<string, readonly File[]>();

function bundle(entry: string): readonly File[] {
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
    }).outputFiles.map(({ path, contents }) => ({ name: basename(path), contents }));
  bundles.set(entry, files);
  return files;
}
