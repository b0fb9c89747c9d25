import type { Client } from '@temporalio/client';
import type { Command } from 'commander';
import type { Act } from '../../model/audit.ts';
import { defined } from '../../model/defined.ts';
import { HoldfastError } from '../../model/errors.ts';
import type { Receipt } from '../../workflows/plan-messages.ts';
import { type CommonOptions, emit, print, runCommand, say } from '../output.ts';
import { checkReason, recordHere } from '../record-act.ts';

/** `approve`, `pause`, `resume`, `cancel`: messages to a plan's entity, which people can also send as signals in the Temporal UI. */

interface Options extends CommonOptions {
  readonly reason?: string;
}

interface Message {
  readonly name: 'approve' | 'pause' | 'resume' | 'cancel';
  readonly description: string;
  readonly takes: 'request' | 'reason' | 'nothing';
  readonly example: string;
}

const COMMANDS: readonly Message[] = [
  {
    name: 'approve',
    description: 'let an overwriting restore begin that waits for approval',
    takes: 'request',
    example: 'holdfast approve orders',
  },
  {
    name: 'pause',
    description: 'no scheduled backup, retention or drill of the plan until resume',
    takes: 'reason',
    example: 'holdfast pause orders --reason "migration of the orders table"',
  },
  {
    name: 'resume',
    description: 'scheduled runs of the plan go on',
    takes: 'nothing',
    example: 'holdfast resume orders',
  },
  {
    name: 'cancel',
    description:
      'give up what waits or runs: a request, or a run by its workflow id, also of a plan that is not applied',
    takes: 'request',
    example: 'holdfast cancel orders',
  },
];

/** Returns the function that registers one of these commands. */
export function registering(name: Message['name']): (program: Command) => void {
  return (program) => {
    const message = COMMANDS.find((each) => each.name === name);
    if (message === undefined) throw new TypeError(`there is no message ${name}`);
    const command = program.command(message.name).argument('<plan>', 'name of a plan that is applied');
    if (message.takes === 'request') {
      command.argument(
        '[request]',
        'id of the request (holdfast status shows it); left out where there is one',
      );
    }
    const shown = message.takes === 'reason' ? 'it is shown with the plan, and' : 'it is';
    command
      .option('--reason <text>', `why; ${shown} recorded (holdfast audit)`)
      .description(message.description)
      .option('--json', 'one JSON document on stdout')
      .addHelpText('after', `\nExample:\n  ${message.example}`)
      .action((plan: string, ...rest: readonly unknown[]) => {
        const request = message.takes === 'request' ? (rest[0] as string | undefined) : undefined;
        const options = rest[message.takes === 'request' ? 1 : 0] as Options;
        return runCommand(options, () => send(message, plan, request, options));
      });
  };
}

async function send(
  { name, takes }: Message,
  plan: string,
  requestId: string | undefined,
  { json, reason }: Options,
): Promise<undefined> {
  checkReason(reason);
  const { openSession } = await import('../session.ts');
  const { sendToEntity } = await import('../../library/plan-entities.ts');
  const { planNameOf } = await import('../../library/plan-files.ts');
  const planName = await planNameOf(plan);
  const session = await openSession({ starts: 'server' });
  try {
    const argument = {
      ...defined({ requestId, reason: takes === 'reason' ? reason : undefined }),
    };
    const receipt =
      name === 'cancel'
        ? await cancel(session.client, planName, requestId)
        : await sendToEntity(session.client, planName, name, argument);
    await record(session.client, planName, {
      action: name,
      ...defined({
        subject: takes === 'request' ? (receipt.workflowId ?? receipt.requestId) : undefined,
        reason,
      }),
    });
    if (json) emit({ plan: planName, ...receipt });
    else print(`${planName}: ${receipt.told}.`);
    return undefined;
  } finally {
    await session.end({ keep: true });
  }
}

/** The repository is that of the plan as it was applied, since the command has no plan file. */
async function record(client: Client, plan: string, act: Omit<Act, 'by'>): Promise<void> {
  const { findEntity } = await import('../../library/plan-entities.ts');
  const entity = await findEntity(client, plan);
  if (entity === undefined) say(`Plan ${plan} is not applied, so this is not in its log.`);
  else await recordHere(plan, entity.revision.plan.pipeline.repository, act);
}

/**
 * Cancels by the plan's entity, which also knows requests that have not begun. Cancels the run itself where there is no entity or it knows no
 * such run.
 */
async function cancel(client: Client, plan: string, requestId: string | undefined): Promise<Receipt> {
  const { isApplied, sendToEntity } = await import('../../library/plan-entities.ts');
  const { cancelRun, whichRun } = await import('../../library/cancel-run.ts');
  if (!(await isApplied(client, plan))) {
    if (requestId === undefined) throw await whichRun(client, plan);
    return await cancelRun(client, plan, requestId);
  }
  try {
    return await sendToEntity(client, plan, 'cancel', defined({ requestId }));
  } catch (error) {
    const isUnknown = error instanceof HoldfastError && error.code === 'NO_SUCH_REQUEST';
    if (!isUnknown || requestId?.includes(':') !== true) throw error;
    return await cancelRun(client, plan, requestId);
  }
}
