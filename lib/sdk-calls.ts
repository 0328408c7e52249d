// Single calls of the AWS SDK at deploy time (the library's AwsCustomResource) share one function for each stack. Its log
// group is made here, because otherwise it would be kept indefinitely and outlive the stack.
import { RemovalPolicy, type Stack } from 'aws-cdk-lib';
import { type ILogGroup, LogGroup, RetentionDays } from 'aws-cdk-lib/aws-logs';

/** The id that the library gives the function. */
export const SDK_CALLS_FUNCTION = 'AWS679f53fac002430cb0da5b7982bd2287';

export function sdkCallsLogGroup(stack: Stack): ILogGroup {
  const id = 'SdkCalls';
  const made = stack.node.tryFindChild(id);
  if (made instanceof LogGroup) return made;
  return new LogGroup(stack, id, { retention: RetentionDays.TWO_WEEKS, removalPolicy: RemovalPolicy.DESTROY });
}
