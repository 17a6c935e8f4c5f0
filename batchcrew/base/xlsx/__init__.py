"""Read and write Excel workbooks (.xlsx) as streams: memory does not grow with a sheet.

`workbook` opens a file and yields its rows as text with the kind of each cell. It uses `package` (the zip file and its
limits), `xml_stream` (expat, without document types), `sheet` (the cells of a sheet), `shared_strings`,
`number_formats` and `cells` (what a cell shows). `writing` writes a workbook of `new_cells` with XlsxWriter.
"""
