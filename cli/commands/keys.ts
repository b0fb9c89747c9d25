import type { Command } from 'commander';
import type { CompiledPlan } from '../../model/pipeline.ts';
import type { EncryptedStore } from '../../repository/encryption/encrypted-store.ts';
import {
  type CommonOptions,
  EXIT,
  type ExitCode,
  emit,
  print,
  runCommand,
  say,
  UsageError,
} from '../output.ts';
import { recordHere } from '../record-act.ts';

export function register(program: Command): void {
  const keys = program
    .command('keys')
    .description(
      'the keys of an encrypted repository (docs/encryption.md), and those that sign (docs/signing.md)',
    );
  keys
    .command('check')
    .argument('<plan>', 'a plan’s name or file')
    .description(
      'open every key file by the identities of this machine, and name the backups whose keys are gone; exit 0 all opened, 1 something is lost, 3 something was not opened',
    )
    .option('--json', 'one JSON document on stdout')
    .addHelpText('after', '\nExample:\n  holdfast keys check plans/orders.yaml')
    .action((argument: string, options: CommonOptions) =>
      runCommand(options, () => check(argument, options)),
    );
  keys
    .command('rewrap')
    .argument('<plan>', 'a plan’s name or file')
    .description('encrypt every key file to the recipients that the plan names now; data stay as they are')
    .option('--json', 'one JSON document on stdout')
    .addHelpText('after', '\nExample:\n  holdfast keys rewrap plans/orders.yaml')
    .action((argument: string, options: CommonOptions) =>
      runCommand(options, () => rewrap(argument, options)),
    );
  keys
    .command('signing')
    .argument('<file>', 'where the new key is to be; it must not be there yet')
    .description(
      'make a key that signs backups (docs/signing.md): the file is for its owner alone, and the public key is printed',
    )
    .option('--comment <name>', 'stands behind the public key', 'holdfast')
    .addHelpText('after', '\nExample:\n  holdfast keys signing /etc/holdfast/signing-key --comment backup-1')
    .action((file: string, options: { readonly comment: string }) =>
      runCommand({}, () => makeSigningKey(file, options)),
    );
  keys
    .command('decryptor')
    .description('print decrypt.mjs, which decrypts a repository without Holdfast')
    .addHelpText('after', '\nExample:\n  holdfast keys decryptor > decrypt.mjs')
    .action(() => runCommand({}, decryptor));
}

async function check(argument: string, options: CommonOptions): Promise<ExitCode> {
  const { checkKeys, fileOf } = await import('../../repository/encryption/check-keys.ts');
  const { formatAmount } = await import('../../model/amounts.ts');
  return withKeys(argument, async (store, plan) => {
    const { files, backups, lost } = await checkKeys(store, plan.name);
    const isLost = lost.length > 0 || files.some(({ state }) => state === 'damaged');
    const isClosed = files.some(({ state }) => state === 'closed');
    const verdict = isLost ? 'FAILED' : isClosed ? 'INCONCLUSIVE' : 'OK';
    const code = { OK: EXIT.done, FAILED: EXIT.failed, INCONCLUSIVE: EXIT.inconclusive }[verdict];
    if (options.json) {
      emit({ plan: plan.name, verdict, keys: files, backups, lost });
      return code;
    }
    for (const file of files) {
      print(
        file.state === 'opened'
          ? `✔ ${fileOf(file)}  ${file.purpose}, opened by ${file.by}`
          : `${file.state === 'closed' ? '?' : '✘'} ${file.problem}`,
      );
    }
    for (const { backup, keys } of lost) {
      print(
        `✘ ${backup}: what was encrypted with ${keys.join(', ')} is lost, since that key file is gone or damaged`,
      );
    }
    print(
      `${verdict}: ${formatAmount(files.length, 'key file')}, ${formatAmount(backups, 'backup')} of ${plan.name} asked for their keys, ${lost.length} of them lost`,
    );
    return code;
  });
}

async function rewrap(argument: string, options: CommonOptions): Promise<ExitCode> {
  const { rewrapKeys } = await import('../../repository/encryption/check-keys.ts');
  const { formatAmount } = await import('../../model/amounts.ts');
  return withKeys(argument, async (store, plan) => {
    const files = await rewrapKeys(store);
    const recipients = plan.pipeline.repository.encryption?.recipients ?? [];
    await recordHere(plan.name, plan.pipeline.repository, {
      action: 'keys-rewrapped',
      subject: `key files: ${files}, recipients: ${recipients.join(', ')}`,
    });
    if (options.json) {
      emit({ plan: plan.name, keys: files, recipients });
      return EXIT.done;
    }
    print(`${formatAmount(files, 'key file')} encrypted to ${formatAmount(recipients.length, 'recipient')}`);
    say(
      'Who was a recipient before and kept a copy of a key file can still open what was encrypted with it until now; and object stores with versions keep the old files.',
    );
    return EXIT.done;
  });
}

async function makeSigningKey(file: string, { comment }: { readonly comment: string }): Promise<ExitCode> {
  const { writeFile } = await import('node:fs/promises');
  const { newSigningKey } = await import('../../repository/signing/ssh-key.ts');
  if (!/^[\x21-\x7e]{1,100}$/.test(comment)) {
    throw new UsageError(
      `--comment ${comment} is no plain name`,
      'Write letters and digits, such as backup-1.',
    );
  }
  const made = newSigningKey(comment);
  try {
    await writeFile(file, made.file, { mode: 0o600, flag: 'wx' });
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error;
    throw new UsageError(`${file} is there already, and a key is never replaced`, 'Name another file.');
  }
  print(made.publicLine);
  say('Write this line into `signing.trusted` of the Repository, and the file into `signing.key`.');
  return EXIT.done;
}

async function decryptor(): Promise<ExitCode> {
  const { DECRYPT_PROGRAM } = await import('../../repository/encryption/decrypt-program.ts');
  process.stdout.write(DECRYPT_PROGRAM);
  return EXIT.done;
}

async function withKeys<T>(
  argument: string,
  work: (store: EncryptedStore, plan: CompiledPlan) => Promise<T>,
): Promise<T> {
  const { resolvePlan } = await import('../../library/plan-files.ts');
  const { resolveSecret } = await import('../../engines/resolve-secret.ts');
  const { openEncrypted } = await import('../../repository/open.ts');
  const plan = await resolvePlan(argument);
  const { repository } = plan.pipeline;
  const { encryption } = repository;
  if (encryption === undefined) {
    throw new UsageError(
      `the repository ${repository.name} of the plan ${plan.name} is not encrypted, so it has no keys`,
      'Encryption is said in the Repository of a new one: docs/encryption.md.',
    );
  }
  const store = await openEncrypted({ ...repository, encryption }, resolveSecret);
  try {
    return await work(store, plan);
  } finally {
    await store.close();
  }
}
