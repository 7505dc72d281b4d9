"""Sweeps, in the state machine: what they find is done once, and found twice it changes nothing."""

from engine.sweeps import BY_NAME


class SweepSteps:
    """What the steps of every sweep share."""

    def due(self, name):
        """The commands that a sweep makes of the rows as they are."""
        sweep = BY_NAME[name]
        rows = self.book.view.scan(bytes((sweep.table,)))
        return sweep.commands(rows, self.model.today, self.model.at)

    def sweep(self, name, nothing, modelled):
        """Sweep twice, and compare with what the model did.

        Args:
            name: of the sweep.
            nothing: a command that changes nothing, for when the sweep finds nothing.
            modelled: the model's sweep; returns how many commands are approved.
        """
        self.model.come(self.at)
        due = self.due(name) or [nothing]
        answers = [self.house.execute(command, self.at) for command in (*due, *due)]
        assert sum(answer.approved for answer in answers) == modelled()
