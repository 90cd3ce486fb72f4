"""Images and parameters on disk, as data sets publish them. Another data set's layout is a file of its own."""
