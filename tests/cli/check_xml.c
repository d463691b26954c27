/* check_xml.c - check_xml SCHEMA: validates standard input against a RELAX NG schema. */
#include <stdio.h>

#include <libxml/parser.h>
#include <libxml/relaxng.h>

int main(int argc, char **argv)
{
    xmlDoc *doc = xmlReadFd(0, NULL, NULL, XML_PARSE_NONET);
    xmlRelaxNGParserCtxt *parser = argc == 2 ? xmlRelaxNGNewParserCtxt(argv[1]) : NULL;
    xmlRelaxNG *schema = parser ? xmlRelaxNGParse(parser) : NULL;
    xmlRelaxNGValidCtxt *valid = schema ? xmlRelaxNGNewValidCtxt(schema) : NULL;
    int rc = doc != NULL && valid != NULL ? xmlRelaxNGValidateDoc(valid, doc) : 1;

    printf("%s\n", rc == 0 ? "valid" : "not valid");
    xmlRelaxNGFreeValidCtxt(valid);
    xmlRelaxNGFree(schema);
    xmlRelaxNGFreeParserCtxt(parser);
    xmlFreeDoc(doc);
    return rc != 0;
}
