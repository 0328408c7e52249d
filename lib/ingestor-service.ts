// The ingestor on Fargate: one task per shard group and the standbys. It has no inbound rule: only the health check inside the
// task connects to it. Rolling deploys start the new tasks first; they stand by until the old ones hand over their leases.
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { Duration, Size } from 'aws-cdk-lib';
import * as ec2 from 'aws-cdk-lib/aws-ec2';
import { Platform } from 'aws-cdk-lib/aws-ecr-assets';
import * as ecs from 'aws-cdk-lib/aws-ecs';
import { Role, ServicePrincipal } from 'aws-cdk-lib/aws-iam';
import { LogGroup } from 'aws-cdk-lib/aws-logs';
import type { ISecret } from 'aws-cdk-lib/aws-secretsmanager';
import { Construct } from 'constructs';
import { DEFAULT_PORT, NODE_FLAGS, STOP_TIMEOUT_SECONDS } from '../service/contract/limits.ts';
import { DEFAULT_METRICS_NAMESPACE } from '../service/contract/metrics.ts';
import { ENV, PATHS } from '../service/contract/names.ts';
import { removalPolicy } from './removal-policy.ts';
import { onlyForThisAccount } from './service-roles.ts';
import { heapLimitMiB, type Settings } from './settings.ts';

export interface IngestorServiceProps {
  readonly settings: Settings;
  readonly vpc: ec2.IVpc;
  readonly subnets: ec2.SubnetSelection;
  /** Whose members may reach the broker. */
  readonly brokerClients: ec2.ISecurityGroup;
  readonly discordToken: ISecret;
  readonly brokerLogin: ISecret;
  /** Names of alarms that roll a deployment back. */
  readonly deploymentAlarms: readonly string[];
}

export class IngestorService extends Construct {
  readonly service: ecs.FargateService;
  readonly logGroup: LogGroup;

  constructor(scope: Construct, id: string, props: IngestorServiceProps) {
    super(scope, id);
    const { settings } = props;
    const { ARM64 } = ecs.CpuArchitecture;
    const { LINUX } = ecs.OperatingSystemFamily;

    this.logGroup = new LogGroup(this, 'Log', {
      retention: settings.logRetentionDays,
      removalPolicy: removalPolicy(settings),
    });

    const task = new ecs.FargateTaskDefinition(this, 'Task', {
      taskRole: new Role(this, taskRoleId(settings), { assumedBy: new ServicePrincipal('ecs-tasks.amazonaws.com') }),
      cpu: settings.task.cpu,
      memoryLimitMiB: settings.task.memoryMiB,
      runtimePlatform: { cpuArchitecture: ARM64, operatingSystemFamily: LINUX },
    });
    // Read while the task runs, by ARN: a rotation needs no restart, and no value is in the task's environment.
    props.discordToken.grantRead(task.taskRole);
    props.brokerLogin.grantRead(task.taskRole);

    const linux = new ecs.LinuxParameters(this, 'Linux', { initProcessEnabled: true });
    linux.dropCapabilities(ecs.Capability.ALL);
    task.addContainer('ingestor', {
      image: ecs.ContainerImage.fromAsset(IMAGE_CONTEXT, IMAGE),
      command: taskCommand(settings),
      // Without this limit a container sees the memory of the host.
      memoryLimitMiB: settings.task.memoryMiB,
      environment: taskEnvironment(settings, props.discordToken.secretArn, props.brokerLogin.secretArn),
      healthCheck: {
        command: ['CMD', ...LIVE_CHECK],
        interval: Duration.seconds(30),
        // It starts a process, on a quarter core that may be busy.
        timeout: Duration.seconds(10),
        retries: 3,
        startPeriod: Duration.seconds(60),
      },
      linuxParameters: linux,
      // ECS Exec writes its own files into the container.
      readonlyRootFilesystem: !settings.task.execEnabled,
      user: NON_ROOT,
      stopTimeout: Duration.seconds(STOP_TIMEOUT_SECONDS),
      logging: ecs.LogDrivers.awsLogs({
        logGroup: this.logGroup,
        streamPrefix: 'ingestor',
        // A slow CloudWatch must not block the event loop: beyond 4 MB, lines are dropped.
        mode: ecs.AwsLogDriverMode.NON_BLOCKING,
        maxBufferSize: Size.mebibytes(4),
      }),
    });

    onlyForThisAccount(task.taskRole);
    const security = new ec2.SecurityGroup(this, 'Egress', {
      vpc: props.vpc,
      description: 'Discord ingestor: out to Discord and AWS, nothing in',
      allowAllOutbound: false,
    });
    security.addEgressRule(ec2.Peer.anyIpv4(), ec2.Port.tcp(443), 'Discord, whose addresses change, and AWS');

    this.service = new ecs.FargateService(this, 'Service', {
      cluster: new ecs.Cluster(this, 'Cluster', { vpc: props.vpc }),
      taskDefinition: task,
      desiredCount: settings.tasks,
      // New tasks start before old ones end: safe, because a lease has one owner.
      minHealthyPercent: 100,
      maxHealthyPercent: 200,
      circuitBreaker: { enable: true, rollback: true },
      deploymentAlarms: { alarmNames: [...props.deploymentAlarms], behavior: ecs.AlarmBehavior.ROLLBACK_ON_ALARM },
      bakeTime: BAKE_TIME,
      // Owner and standby in different zones.
      availabilityZoneRebalancing: ecs.AvailabilityZoneRebalancing.ENABLED,
      vpcSubnets: props.subnets,
      assignPublicIp: settings.egress === 'public-ip',
      securityGroups: [security, props.brokerClients],
      enableExecuteCommand: settings.task.execEnabled,
      enableECSManagedTags: true,
      propagateTags: ecs.PropagatedTagSource.SERVICE,
    });
    // A task that gets healthy and then crashes would reset the count each time, and every start may cost an IDENTIFY.
    const service = this.service.node.defaultChild as ecs.CfnService;
    const breaker = 'DeploymentConfiguration.DeploymentCircuitBreaker';
    service.addPropertyOverride(`${breaker}.ResetOnHealthyTask`, false);
    // Tasks that may fail before the deployment is rolled back.
    service.addPropertyOverride(`${breaker}.ThresholdConfiguration`, { Type: 'COUNT', Value: 3 });
  }
}

/**
 * How long alarms can still roll a deployment back after the last old task. The slowest needs four minutes of metrics, a
 * minute for the first of them, and its evaluation; ECS's own default is less than five.
 * https://docs.aws.amazon.com/AmazonECS/latest/developerguide/deployment-alarm-failure.html
 */
const BAKE_TIME = Duration.minutes(10);

/** Another token secret is another role: the old tasks keep their role, and may read their secret, until they end. */
export function taskRoleId({ discordTokenSecretArn: secret, discordTokenKeyArn: key }: Settings): string {
  if (secret === undefined) return 'TaskRole';
  return `TaskRole${createHash('sha256').update(`${secret} ${key}`).digest('hex').slice(0, 8)}`;
}

/** Its .dockerignore decides what is staged: the image is built from the staged folder. */
const IMAGE_CONTEXT = join(import.meta.dirname, '..');
export const IMAGE: ecs.AssetImageProps = {
  file: 'service/Dockerfile',
  platform: Platform.LINUX_ARM64,
  // Beside .dockerignore, whose pattern for this Buildah does not support: files without a dot in their name stay out too.
  exclude: ['service/**', '!service/**/*.ts', '!service/Dockerfile', '**/node_modules'],
};

// Of the image, as service/Dockerfile makes it.
export const NODE = '/nodejs/bin/node';
export const BUNDLE = 'main.mjs';
/** "nonroot" of the base image: with neither home nor shell. */
export const NON_ROOT = '65532:65532';

/** Exit code 0 while `/live` answers 200. The image has no curl, and no shell. */
export const LIVE_CHECK: readonly string[] = [
  NODE,
  '-e',
  `require('http').get('http://127.0.0.1:${DEFAULT_PORT}${PATHS.live}',r=>process.exit(r.statusCode===200?0:1)).on('error',()=>process.exit(1))`,
];

/** For the image's entry point, which is Node. The heap limit depends on the task's size. */
export function taskCommand(settings: Settings): string[] {
  const heapLimit = `--max-old-space-size=${heapLimitMiB(settings.task.memoryMiB)}`;
  return ['--enable-source-maps', ...NODE_FLAGS, heapLimit, BUNDLE];
}

/** Variables that service/config.ts reads, less those whose default is right. */
export function taskEnvironment(settings: Settings, discordTokenArn: string, brokerLoginArn: string) {
  const { events, forward } = settings;
  const { intents, initialPresence } = settings.gateway;
  return {
    ...(events && { [ENV.events]: events.join(',') }),
    ...(forward.messageContent && { [ENV.forwardMessageContent]: 'true' }),
    ...(forward.botMessages && { [ENV.forwardBotMessages]: 'true' }),
    ...(forward.directMessages && { [ENV.forwardDirectMessages]: 'true' }),
    ...(intents && { [ENV.gatewayIntents]: intents.join(',') }),
    ...(initialPresence && { [ENV.initialPresence]: JSON.stringify(initialPresence) }),
    [ENV.nodeEnv]: 'production',
    [ENV.environment]: settings.environment,
    [ENV.discordBotTokenSecretArn]: discordTokenArn,
    [ENV.rabbitmqSecretArn]: brokerLoginArn,
    [ENV.shardCount]: String(settings.shards.count),
    [ENV.shardsPerTask]: String(settings.shards.perTask),
    [ENV.gatewayCompression]: settings.gateway.compression,
    [ENV.outboxMaxEvents]: String(settings.task.outboxMaxEvents),
    [ENV.outboxMaxBytes]: String(settings.task.outboxMaxBytes),
    [ENV.port]: String(DEFAULT_PORT),
    // Only the health check inside the task connects.
    [ENV.host]: '127.0.0.1',
    [ENV.logLevel]: settings.task.logLevel,
    [ENV.metricsNamespace]: DEFAULT_METRICS_NAMESPACE,
  };
}
