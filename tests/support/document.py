"""The elements of a page, as a test looks at them."""

from html.parser import HTMLParser

VOID = {"meta", "link", "img", "br", "hr", "path", "use", "rect", "image"}


class Document(HTMLParser):
    """Elements (name, attributes, text directly inside) of a page, and those left open."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.elements, self.open, self.text = [], [], ""
        self.feed(text)
        self.close()

    def handle_starttag(self, name, attributes):
        self.elements.append([name, dict(attributes), ""])
        if name not in VOID:
            self.open.append(len(self.elements) - 1)

    def handle_startendtag(self, name, attributes):
        self.elements.append([name, dict(attributes), ""])

    def handle_endtag(self, name):
        if name in VOID:
            return
        opened = self.elements[self.open.pop()][0]
        assert opened == name, f"</{name}> closes <{opened}>"

    def handle_data(self, text):
        self.text += text
        if self.open:
            self.elements[self.open[-1]][2] += text

    def all(self, name):
        return [e for e in self.elements if e[0] == name]
