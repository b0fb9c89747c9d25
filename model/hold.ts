/** Keeps a backup from being deleted until somebody releases it. */
export interface Hold {
  readonly plan: string;
  readonly backup: string;
  readonly id: string;
  readonly reason: string;
  /** Who asked for it, by that process's own account, which nobody checks. */
  readonly by: string;
  readonly at: string;
  readonly released?: { readonly at: string; readonly by: string; readonly reason: string };
}
