"""Messages -> a model's prompt, by the template of its file, and who wrote what in it.

A chat template is a Jinja program out of a file from a stranger, and the messages are text from
other strangers. Neither is trusted with more than it needs: the program runs in a sandbox with a
budget (sandbox.py, budget.py), and of every character that comes out it is known whether it is the
template's own or came with the messages (text.py). Only the template's own characters can spell a
control piece.
"""

from spm.chat.messages import Message
from spm.chat.template import ChatTemplate, Rendered

__all__ = ["ChatTemplate", "Message", "Rendered"]
