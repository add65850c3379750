"""What every test may use. The rules themselves are plugins beside this file.

`kinds` refuses a test without a kind or a claim, `skips` explains skips and in CI forbids them,
`postgresql` starts a private server. `polling.wait_until` is the one way to wait for something.
"""

pytest_plugins = ["tests.kinds", "tests.skips", "tests.postgresql"]
