"""The line worker: a process that speaks SIP by pjsua2 for a few calls, and the fork server that makes such processes."""
