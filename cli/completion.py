"""Shell completion: what click's own leaves to be mended, loaded only while a shell asks for it."""

from click.shell_completion import FishComplete, add_completion_class


class WholeFishComplete(FishComplete):
    """Completion in fish; click's script cuts words and descriptions at their first comma: ``mesh,landmarks``."""

    source_template = FishComplete.source_template.replace('string split ","', 'string split --max 1 ","')


add_completion_class(WholeFishComplete)
