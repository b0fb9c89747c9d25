import { createInterface, type Interface } from 'node:readline/promises';
import { readCron } from '../compiler/cron.ts';
import type { Reading } from '../compiler/diagnostic.ts';
import { readAbsolutePath, readBucket, readEnvironmentName, readName } from '../compiler/names.ts';
import { say } from './output.ts';
import type { PlanAnswers, PlanDraft } from './plan-template.ts';

/** True if a person can be asked (there is a terminal). */
export function isInteractive(): boolean {
  return process.stdin.isTTY === true && process.stderr.isTTY === true;
}

/** Asks for what the flags leave open. Checks each answer at once by the compiler's rules. */
export async function askForPlan(draft: PlanDraft): Promise<PlanAnswers> {
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  const ask = (question: string, fallback: string, read: (text: string) => Reading<string>) =>
    askUntilFit(terminal, question, fallback, read);
  try {
    const name = draft.name ?? (await ask('Name of the plan', 'orders-nightly', readName));
    const connectionEnv =
      draft.connectionEnv ??
      (await ask('Environment variable with the database’s URL', 'DATABASE_URL', readEnvironmentName));
    const answers = { ...draft, name, connectionEnv };
    if (draft.directory !== undefined || draft.bucket !== undefined) return answers;

    const kind = await ask('Back up to a directory or to s3', 'directory', readKind);
    const place =
      kind === 's3'
        ? { bucket: await ask('Bucket', 'acme-backups', readBucket) }
        : { directory: await ask('Directory', '/var/backups/holdfast', readAbsolutePath) };
    const cron =
      draft.cron ?? (await ask('When, as a cron line; `-` for by hand', '0 2 * * *', readCronOrNone));
    return { ...answers, ...place, ...(cron === '-' ? {} : { cron }) };
  } finally {
    terminal.close();
  }
}

async function askUntilFit(
  terminal: Interface,
  question: string,
  fallback: string,
  read: (text: string) => Reading<string>,
): Promise<string> {
  for (;;) {
    const answer = (await terminal.question(`${question} [${fallback}]: `)).trim();
    const reading = read(answer === '' ? fallback : answer);
    if ('value' in reading) return reading.value;
    say(`${reading.problem.message}. ${reading.problem.remedy}`);
  }
}

function readKind(text: string): Reading<string> {
  if (text === 's3' || text === 'directory') return { value: text };
  return {
    problem: { code: 'WRONG_VALUE', message: 'That is neither', remedy: 'Write `directory` or `s3`.' },
  };
}

function readCronOrNone(text: string): Reading<string> {
  return text === '-' ? { value: text } : readCron(text);
}
