import type { CommandEntry } from './command-entry.ts';

/**
 * All commands, in the order of the help. A command's file imports only what the help needs, and loads the rest when the command
 * runs.
 */
export const COMMANDS: readonly CommandEntry[] = [
  { name: 'demo', load: async () => (await import('./commands/demo.ts')).register },
  { name: 'init', load: async () => (await import('./commands/init.ts')).register },
  { name: 'validate', load: async () => (await import('./commands/validate.ts')).register },
  { name: 'explain', load: async () => (await import('./commands/explain.ts')).register },
  { name: 'schema', load: async () => (await import('./commands/schema.ts')).register },
  { name: 'apply', load: async () => (await import('./commands/apply.ts')).register },
  { name: 'status', load: async () => (await import('./commands/status.ts')).register },
  { name: 'backup', load: async () => (await import('./commands/backup.ts')).register },
  { name: 'restore', load: async () => (await import('./commands/restore.ts')).register },
  { name: 'approve', load: async () => (await import('./commands/messages.ts')).registering('approve') },
  { name: 'pause', load: async () => (await import('./commands/messages.ts')).registering('pause') },
  { name: 'resume', load: async () => (await import('./commands/messages.ts')).registering('resume') },
  { name: 'cancel', load: async () => (await import('./commands/messages.ts')).registering('cancel') },
  { name: 'watch', load: async () => (await import('./commands/watch.ts')).register },
  { name: 'logs', load: async () => (await import('./commands/logs.ts')).register },
  { name: 'list', load: async () => (await import('./commands/list.ts')).register },
  { name: 'show', load: async () => (await import('./commands/show.ts')).register },
  { name: 'extract', load: async () => (await import('./commands/extract.ts')).register },
  { name: 'verify', load: async () => (await import('./commands/verify.ts')).register },
  { name: 'drill', load: async () => (await import('./commands/drill.ts')).register },
  { name: 'report', load: async () => (await import('./commands/report.ts')).register },
  { name: 'prune', load: async () => (await import('./commands/prune.ts')).register },
  { name: 'retention', load: async () => (await import('./commands/retention.ts')).register },
  { name: 'hold', load: async () => (await import('./commands/holds.ts')).registering('hold') },
  { name: 'release', load: async () => (await import('./commands/holds.ts')).registering('release') },
  { name: 'delete', load: async () => (await import('./commands/delete.ts')).register },
  { name: 'audit', load: async () => (await import('./commands/audit.ts')).register },
  { name: 'keys', load: async () => (await import('./commands/keys.ts')).register },
  { name: 'sign', load: async () => (await import('./commands/sign.ts')).register },
  { name: 'repository', load: async () => (await import('./commands/repository.ts')).register },
  { name: 'window', load: async () => (await import('./commands/window.ts')).register },
  { name: 'mcp', load: async () => (await import('./commands/mcp.ts')).register },
  { name: 'worker', load: async () => (await import('./commands/worker.ts')).register },
  { name: 'deployment', load: async () => (await import('./commands/deployment.ts')).register },
  { name: 'dev', load: async () => (await import('./commands/dev.ts')).register },
  { name: 'down', load: async () => (await import('./commands/down.ts')).register },
  { name: 'version', load: async () => (await import('./commands/version.ts')).register },
  { name: 'doctor', load: async () => (await import('./commands/doctor.ts')).register },
  {
    name: 'completion',
    load: async () => {
      const { register } = await import('./commands/completion.ts');
      return (program) => register(program, COMMANDS);
    },
  },
  {
    name: 'man',
    load: async () => {
      const { register } = await import('./commands/man.ts');
      return (program) => register(program, COMMANDS);
    },
  },
];
