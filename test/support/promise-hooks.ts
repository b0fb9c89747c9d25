import v8 from 'node:v8';

/**
 * A replay runs workflows in the test's own process, where the SDK leaves a hook on every promise. The hook would also see the promises of the test files that
 * Jest runs there afterwards, and it throws on a promise of another realm. This removes the hook at the end of the test file that calls it.
 */
export function endPromiseHooksAfterwards(): void {
  const hooks = jest.spyOn(v8.promiseHooks, 'createHook');
  afterAll(() => {
    // Otherwise the SDK installs its hook in another way, and this helper does nothing.
    expect(hooks).toHaveBeenCalled();
    for (const { value: stop } of hooks.mock.results) stop();
    hooks.mockRestore();
  });
}
